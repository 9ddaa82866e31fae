//! awsQuery for services that think in JSON (CloudWatch's older clients): parameters to a value, a value to XML.
//! Lists are `Name.member.N`.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::DateTime;
use http::Response;
use serde_json::{Map, Value};

use super::query::Params;
use super::xml::Xml;
use super::{respond, timestamp};
use crate::bounds;

#[derive(Default)]
struct Node {
    text: Option<String>,
    children: BTreeMap<String, Node>,
}

/// The parameters as a nested value; every leaf is text, as awsQuery cannot say more.
pub fn to_value(params: &Params) -> Value {
    let mut root = Node::default();
    for (key, value) in params
        .iter()
        .filter(|(key, _)| !matches!(*key, "Action" | "Version"))
    {
        let mut node = &mut root;
        // Never deeper than the bound on names, whoever made the parameters: the rest stays one name.
        for part in key.splitn(bounds::PARAMETER_PARTS, '.') {
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.text = Some(value.to_owned());
    }
    match value_of(root) {
        Value::Object(object) => Value::Object(object),
        // No parameters at all.
        _ => Value::Object(Map::new()),
    }
}

fn value_of(mut node: Node) -> Value {
    if node.children.is_empty() {
        return Value::String(node.text.unwrap_or_default());
    }
    if let Some(list) = node.children.remove("member") {
        let mut items: Vec<(u32, Node)> = list
            .children
            .into_iter()
            .filter_map(|(n, item)| Some((n.parse().ok()?, item)))
            .collect();
        items.sort_by_key(|(n, _)| *n);
        return Value::Array(items.into_iter().map(|(_, item)| value_of(item)).collect());
    }
    Value::Object(
        node.children
            .into_iter()
            .map(|(key, child)| (key, value_of(child)))
            .collect(),
    )
}

/// The answer of an awsQuery call. `is_time` tells which members hold epoch seconds.
pub fn respond_with(
    action: &str,
    namespace: &str,
    request_id: &str,
    output: &Value,
    is_time: fn(&str) -> bool,
) -> Response<Bytes> {
    let mut xml = Xml::bare();
    xml.inside_ns(&format!("{action}Response"), namespace, |xml| {
        if let Some(members) = output.as_object().filter(|members| !members.is_empty()) {
            xml.inside(&format!("{action}Result"), |xml| {
                for (key, value) in members {
                    write(xml, key, value, is_time(key), is_time);
                }
            });
        }
        xml.inside("ResponseMetadata", |xml| xml.text("RequestId", request_id));
    });
    respond(200, "text/xml", request_id, xml.finish())
}

fn write(xml: &mut Xml, name: &str, value: &Value, time: bool, is_time: fn(&str) -> bool) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => xml.text(name, flag),
        Value::Number(number) => match number.as_f64().filter(|_| time) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "out of range saturates and is then refused by chrono"
            )]
            Some(seconds) => xml.maybe(
                name,
                DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64).map(timestamp),
            ),
            None => xml.text(name, number),
        },
        Value::String(text) => xml.text(name, text),
        Value::Array(items) => xml.inside(name, |xml| {
            for item in items {
                write(xml, "member", item, time, is_time);
            }
        }),
        // The only map of CloudWatch's answers: its keys are no names of elements.
        Value::Object(entries) if name == "ExtendedStatistics" => xml.inside(name, |xml| {
            for (key, value) in entries {
                xml.inside("entry", |xml| {
                    xml.text("key", key);
                    write(xml, "value", value, false, is_time);
                });
            }
        }),
        Value::Object(members) => xml.inside(name, |xml| {
            for (key, value) in members {
                write(xml, key, value, is_time(key), is_time);
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_become_lists_in_their_order() {
        let params =
            Params::parse(b"Action=X&N=ns&D.member.10.V=b&D.member.2.V=a&D.member.2.T.member.1=t");
        assert_eq!(
            to_value(&params),
            json!({"N": "ns", "D": [{"V": "a", "T": ["t"]}, {"V": "b"}]})
        );
        assert_eq!(to_value(&Params::default()), json!({}));
    }

    #[test]
    fn p30_a_name_of_many_parts_ends_nothing() {
        let form = format!("Action=PutMetricData&{}=1", "a.".repeat(100_000));
        assert!(to_value(&Params::parse(form.as_bytes())).is_object());
    }

    #[test]
    fn answers_nest_and_times_are_iso() {
        let response = respond_with(
            "X",
            "ns",
            "id",
            &json!({"A": [{"Timestamp": 0.5, "V": 2, "ExtendedStatistics": {"p99.9": 7.5}}]}),
            |name| name == "Timestamp",
        );
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        assert!(
            text.contains(
                "<V>2</V><ExtendedStatistics><entry><key>p99.9</key><value>7.5</value></entry></ExtendedStatistics>"
            ),
            "{text}"
        );
    }
}
