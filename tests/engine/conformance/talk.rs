//! A lab in process, requests in each protocol, and answers that are walked beside their shapes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use ciborium::Value as Cbor;
use freezeframe::lab::runtime_simulated::SimulatedRuntime;
use freezeframe::lab::{Clock, Lab, LabOptions, WorldSpec};
use http::Request;
use serde_json::{Map, Value, json};

use crate::conformance::model::{Kind, Service, Structure, service};

/// How a call is put into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Query,
    Json,
    Cbor,
}

/// The protocols that a service speaks.
pub fn protocols(signed: &str) -> &'static [Protocol] {
    match signed {
        "ssm" => &[Protocol::Json],
        "monitoring" => &[Protocol::Query, Protocol::Json, Protocol::Cbor],
        _ => &[Protocol::Query],
    }
}

pub async fn lab() -> Lab {
    let base = DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").unwrap();
    let clock = Clock::virtual_from(base.with_timezone(&Utc));
    let options = LabOptions {
        world: WorldSpec::default_world().unwrap(),
        seed: 7,
        clock: clock.clone(),
        runtime: Arc::new(SimulatedRuntime::new(clock, 7)),
        throttling: false,
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
    };
    Lab::start(options).await.unwrap()
}

pub async fn pass(lab: &Lab, seconds: u64) {
    lab.clock().sleep(Duration::from_secs(seconds)).await;
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Of an error.
    pub code: String,
    /// By the members' own names, whatever they are called on the wire.
    pub value: Value,
    /// What is wrong with it beside its shape.
    pub faults: Vec<String>,
    /// Every member that was there.
    pub paths: BTreeSet<String>,
}

/// Asks in one protocol; the input has the members' own names.
pub async fn ask(lab: &Lab, signed: &str, operation: &str, input: &Value, by: Protocol) -> Answer {
    let model = service(signed);
    let body = match by {
        Protocol::Query => {
            let mut form = vec![
                ("Action".to_owned(), operation.to_owned()),
                ("Version".to_owned(), model.version.clone()),
            ];
            if let Some(members) = model.input(operation) {
                query(model, members, input, "", &mut form);
            }
            encode(&form).into_bytes()
        }
        Protocol::Json => renamed(model, operation, input).to_string().into_bytes(),
        Protocol::Cbor => {
            let mut bytes = Vec::new();
            ciborium::into_writer(&renamed(model, operation, input), &mut bytes).unwrap();
            bytes
        }
    };
    post(lab, signed, operation, body, by).await
}

/// As [`ask`], with a body of one's own.
pub async fn post(lab: &Lab, signed: &str, operation: &str, body: Vec<u8>, by: Protocol) -> Answer {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIALAB/20261121/eu-central-1/{signed}/aws4_request, SignedHeaders=host, Signature=00"
    );
    let request = match (by, signed) {
        (Protocol::Query, _) => Request::post("http://lab.invalid/"),
        (Protocol::Json, "ssm") => Request::post("http://lab.invalid/")
            .header("x-amz-target", format!("AmazonSSM.{operation}"))
            .header("content-type", "application/x-amz-json-1.1"),
        (Protocol::Json, _) => Request::post("http://lab.invalid/")
            .header(
                "x-amz-target",
                format!("GraniteServiceVersion20100801.{operation}"),
            )
            .header("content-type", "application/x-amz-json-1.0"),
        (Protocol::Cbor, _) => Request::post(format!(
            "http://lab.invalid/service/GraniteServiceVersion20100801/operation/{operation}"
        ))
        .header("smithy-protocol", "rpc-v2-cbor"),
    };
    let request = request.header("authorization", authorization);
    let response = lab
        .handle(request.body(Bytes::from(body)).unwrap())
        .await
        .unwrap();
    read(
        service(signed),
        operation,
        response.status().as_u16(),
        response.body(),
        by,
    )
}

fn encode(form: &[(String, String)]) -> String {
    let safe = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs: Vec<String> = form
        .iter()
        .map(|(key, value)| format!("{}={}", safe(key).replace("%2E", "."), safe(value)))
        .collect();
    pairs.join("&")
}

/// The wire's name of a member; a member that the model does not have is sent under the name that it was given.
fn query(
    model: &Service,
    members: &Structure,
    input: &Value,
    prefix: &str,
    form: &mut Vec<(String, String)>,
) {
    for (name, value) in input.as_object().unwrap() {
        let member = members.get(name);
        let wire = member.map_or(name.as_str(), |member| &member.wire);
        let name = format!("{prefix}{wire}");
        match member {
            Some(member) => query_value(model, &member.kind, value, name, form),
            None => form.push((name, plain(value))),
        }
    }
}

fn query_value(
    model: &Service,
    kind: &Kind,
    value: &Value,
    name: String,
    form: &mut Vec<(String, String)>,
) {
    match (kind, value) {
        (Kind::List(element, inner), Value::Array(items)) => {
            for (n, item) in items.iter().enumerate() {
                let name = match element.as_str() {
                    "flat" => format!("{name}.{}", n + 1),
                    element => format!("{name}.{element}.{}", n + 1),
                };
                query_value(model, inner, item, name, form);
            }
        }
        (Kind::Structure(shape), Value::Object(_)) => {
            let members = &model.incoming[shape];
            query(model, members, value, &format!("{name}."), form);
        }
        _ => form.push((name, plain(value))),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The input with the wire's names.
fn renamed(model: &Service, operation: &str, input: &Value) -> Value {
    match model.input(operation) {
        Some(members) => rename(model, members, input),
        None => input.clone(),
    }
}

fn rename(model: &Service, members: &Structure, input: &Value) -> Value {
    let Value::Object(given) = input else {
        return input.clone();
    };
    let one = |(name, value): (&String, &Value)| match members.get(name) {
        Some(member) => (
            member.wire.clone(),
            rename_value(model, &member.kind, value),
        ),
        None => (name.clone(), value.clone()),
    };
    Value::Object(given.iter().map(one).collect())
}

fn rename_value(model: &Service, kind: &Kind, value: &Value) -> Value {
    match (kind, value) {
        (Kind::List(_, inner), Value::Array(items)) => items
            .iter()
            .map(|item| rename_value(model, inner, item))
            .collect(),
        (Kind::Structure(shape), _) => rename(model, &model.incoming[shape], value),
        _ => value.clone(),
    }
}

fn read(model: &Service, operation: &str, status: u16, body: &[u8], by: Protocol) -> Answer {
    let mut answer = Answer {
        status,
        code: String::new(),
        value: json!({}),
        faults: Vec::new(),
        paths: BTreeSet::new(),
    };
    let mut walk = Walk {
        model,
        by,
        faults: Vec::new(),
        paths: BTreeSet::new(),
    };
    match by {
        Protocol::Query => {
            let root = Element::parse(body);
            if status >= 400 {
                answer.code = root
                    .find("Code")
                    .map(|code| code.text.clone())
                    .unwrap_or_default();
                return answer;
            }
            walk.check(
                root.name == format!("{operation}Response"),
                &root.name,
                "another name of the root",
            );
            let result = root
                .children
                .iter()
                .find(|c| c.name == format!("{operation}Result"));
            let content = match model.signed {
                "ec2" => Some(&root),
                _ => result,
            };
            if let (Some(content), Some(shape)) = (content, model.output(operation)) {
                answer.value = walk.element(content, shape, "", model.signed == "ec2");
            } else if let Some(content) = content {
                let only = content
                    .children
                    .iter()
                    .all(|c| ["requestId", "return"].contains(&c.name.as_str()));
                walk.check(only, operation, "an answer that has no members has some");
            }
        }
        Protocol::Json | Protocol::Cbor => {
            let cbor: Cbor = match by {
                Protocol::Json => {
                    let value: Value = serde_json::from_slice(body).unwrap();
                    Cbor::serialized(&value).unwrap()
                }
                _ => ciborium::from_reader(body).unwrap(),
            };
            if status >= 400 {
                answer.code = member(&cbor, "__type")
                    .and_then(Cbor::as_text)
                    .unwrap_or_default()
                    .to_owned();
                return answer;
            }
            if let Some(shape) = model.output(operation) {
                answer.value = walk.structure(&cbor, shape, "");
            }
        }
    }
    answer.faults = walk.faults;
    answer.paths = walk.paths;
    answer
}

fn member<'a>(cbor: &'a Cbor, name: &str) -> Option<&'a Cbor> {
    let found = cbor
        .as_map()?
        .iter()
        .find(|(key, _)| key.as_text() == Some(name));
    found.map(|(_, value)| value)
}

/// An element of an XML document.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn parse(body: &[u8]) -> Self {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_str(std::str::from_utf8(body).unwrap());
        let mut stack = vec![Self::default()];
        loop {
            let event = reader.read_event().unwrap();
            match event {
                Event::Start(start) => stack.push(Self {
                    name: start.name().as_ref().to_owned(),
                    ..Self::default()
                }),
                Event::Text(text) => {
                    stack.last_mut().unwrap().text.push_str(&text);
                }
                Event::End(_) => {
                    let done = stack.pop().unwrap();
                    stack.last_mut().unwrap().children.push(done);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        stack.remove(0).children.remove(0)
    }

    fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }
}

struct Walk<'a> {
    model: &'a Service,
    by: Protocol,
    faults: Vec<String>,
    paths: BTreeSet<String>,
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    }
}

impl Walk<'_> {
    fn check(&mut self, fine: bool, at: &str, what: &str) {
        if !fine {
            self.faults.push(format!("{at}: {what}"));
        }
    }

    fn element(&mut self, element: &Element, shape: &str, at: &str, root: bool) -> Value {
        let members = &self.model.outgoing[shape];
        let mut value = Map::new();
        for child in &element.children {
            if root && child.name == "requestId" {
                continue;
            }
            let Some((name, member)) = members.iter().find(|(_, m)| m.wire == child.name) else {
                self.check(false, &join(at, &child.name), "not in the output shape");
                continue;
            };
            let path = join(at, name);
            self.check(!value.contains_key(name), &path, "there twice");
            self.paths.insert(path.clone());
            let inner = self.xml(child, &member.kind, &path);
            value.insert(name.clone(), inner);
        }
        self.complete(members, &value, at);
        Value::Object(value)
    }

    fn xml(&mut self, element: &Element, kind: &Kind, at: &str) -> Value {
        let text = element.text.as_str();
        match kind {
            Kind::List(name, inner) => {
                self.check(text.trim().is_empty(), at, "a list with text");
                let mut items = Vec::new();
                for child in &element.children {
                    self.check(
                        child.name == *name,
                        at,
                        &format!("<{}> in a list of <{name}>", child.name),
                    );
                    items.push(self.xml(child, inner, at));
                }
                return Value::Array(items);
            }
            Kind::Map(inner) => {
                let mut map = Map::new();
                for entry in &element.children {
                    let key = entry.children.iter().find(|c| c.name == "key");
                    let value = entry.children.iter().find(|c| c.name == "value");
                    self.check(
                        entry.name == "entry" && key.is_some() && value.is_some(),
                        at,
                        "no entries of key and value",
                    );
                    if let (Some(key), Some(value)) = (key, value) {
                        let value = self.xml(value, inner, at);
                        map.insert(key.text.clone(), value);
                    }
                }
                return Value::Object(map);
            }
            Kind::Structure(shape) => return self.element(element, shape, at, false),
            _ => {}
        }
        self.check(element.children.is_empty(), at, "elements in a leaf");
        match kind {
            Kind::Whole => self.check(
                text.parse::<i64>().is_ok(),
                at,
                &format!("no integer: {text:?}"),
            ),
            Kind::Real => self.check(
                text.parse::<f64>().is_ok(),
                at,
                &format!("no number: {text:?}"),
            ),
            Kind::Flag => self.check(
                matches!(text, "true" | "false"),
                at,
                &format!("no boolean: {text:?}"),
            ),
            Kind::Time => self.check(
                text.ends_with('Z') && DateTime::parse_from_rfc3339(text).is_ok(),
                at,
                &format!("no time: {text:?}"),
            ),
            Kind::Words(words) => self.word(words, text, at),
            _ => {}
        }
        json!(text)
    }

    fn word(&mut self, words: &[String], text: &str, at: &str) {
        // Where the model and what the documentation shows of answers differ, the answers are right.
        let shown = (at.ends_with(".Platform") && text == "windows")
            || (at.ends_with(".NotificationConfig.NotificationType") && text.is_empty());
        let known = shown || words.iter().any(|word| word == text);
        self.check(known, at, &format!("not one of the words: {text:?}"));
    }

    fn structure(&mut self, cbor: &Cbor, shape: &str, at: &str) -> Value {
        let members = &self.model.outgoing[shape];
        let mut value = Map::new();
        let Some(pairs) = cbor.as_map() else {
            self.check(false, at, "no structure");
            return Value::Null;
        };
        for (key, inner) in pairs {
            let key = key.as_text().unwrap_or_default();
            let Some((name, member)) = members.iter().find(|(_, m)| m.wire == key) else {
                self.check(false, &join(at, key), "not in the output shape");
                continue;
            };
            let path = join(at, name);
            self.paths.insert(path.clone());
            let inner = self.value(inner, &member.kind, &path);
            value.insert(name.clone(), inner);
        }
        self.complete(members, &value, at);
        Value::Object(value)
    }

    fn value(&mut self, cbor: &Cbor, kind: &Kind, at: &str) -> Value {
        let number = |cbor: &Cbor| cbor.as_integer().is_some() || cbor.as_float().is_some();
        match (kind, cbor) {
            (Kind::List(_, inner), Cbor::Array(items)) => {
                return items
                    .iter()
                    .map(|item| self.value(item, inner, at))
                    .collect();
            }
            (Kind::Map(inner), Cbor::Map(pairs)) => {
                return Value::Object(
                    pairs
                        .iter()
                        .map(|(key, value)| {
                            let key = key.as_text().unwrap_or_default().to_owned();
                            (key, self.value(value, inner, at))
                        })
                        .collect(),
                );
            }
            (Kind::Structure(shape), _) => return self.structure(cbor, shape, at),
            (Kind::Text, Cbor::Text(_)) | (Kind::Flag, Cbor::Bool(_)) => {}
            (Kind::Words(words), Cbor::Text(text)) => self.word(words, text, at),
            (Kind::Whole, Cbor::Integer(_)) => {}
            (Kind::Real, cbor) if number(cbor) => {}
            (Kind::Time, Cbor::Tag(1, inner)) if self.by == Protocol::Cbor && number(inner) => {}
            (Kind::Time, cbor) if self.by == Protocol::Json && number(cbor) => {}
            _ => self.check(false, at, &format!("not {kind:?}: {cbor:?}")),
        }
        match cbor {
            Cbor::Text(text) => json!(text),
            Cbor::Bool(flag) => json!(flag),
            Cbor::Integer(n) => json!(i64::try_from(*n).unwrap()),
            Cbor::Float(n) => json!(n),
            Cbor::Tag(_, inner) => inner.as_float().map_or(Value::Null, |n| json!(n)),
            _ => Value::Null,
        }
    }

    fn complete(&mut self, members: &Structure, value: &Map<String, Value>, at: &str) {
        for (name, member) in members {
            let there = !member.required || value.contains_key(name);
            self.check(there, &join(at, name), "required and absent");
        }
    }
}
