//! Smithy's RPC-v2-CBOR bodies, to and from JSON values: times are tag 1 in CBOR and epoch seconds in JSON.

use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

use super::json::ServiceError;

/// Reads a CBOR request body; an empty one is an empty object. Not-a-number and infinities become text, so that
/// validation can refuse them by name.
///
/// # Errors
/// `SerializationException` for what is not a CBOR map.
pub fn decode(body: &[u8]) -> Result<Value, ServiceError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let cbor: Cbor = ciborium::from_reader(body)
        .map_err(|error| ServiceError::new("SerializationException", error.to_string()))?;
    match to_json(cbor) {
        value @ Value::Object(_) => Ok(value),
        _ => Err(ServiceError::new(
            "SerializationException",
            "the request is not a map",
        )),
    }
}

/// Writes a result; members named as times (see [`is_time`]) get tag 1.
pub fn encode(value: &Value) -> Vec<u8> {
    write(&to_cbor(value, false))
}

/// The CBOR error document.
pub fn error(error: &ServiceError) -> Vec<u8> {
    let pair = |key: &str, value: &str| (Cbor::Text(key.to_owned()), Cbor::Text(value.to_owned()));
    write(&Cbor::Map(vec![
        pair("__type", &error.code),
        pair("message", &error.message),
    ]))
}

/// True for members of CloudWatch's results that hold times.
pub fn is_time(member: &str) -> bool {
    member.ends_with("Timestamp") || member == "Timestamps"
}

fn write(value: &Cbor) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to memory fails only for values that cannot be CBOR; an empty body is then refused by the client.
    if ciborium::into_writer(value, &mut out).is_err() {
        out.clear();
    }
    out
}

fn to_json(value: Cbor) -> Value {
    match value {
        Cbor::Bool(flag) => Value::Bool(flag),
        Cbor::Integer(integer) => {
            let wide = i128::from(integer);
            i64::try_from(wide).map_or_else(|_| Value::String(wide.to_string()), Value::from)
        }
        Cbor::Float(float) => {
            Number::from_f64(float).map_or_else(|| Value::String(float.to_string()), Value::Number)
        }
        Cbor::Text(text) => Value::String(text),
        Cbor::Bytes(bytes) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
        Cbor::Tag(_, inner) => to_json(*inner),
        Cbor::Array(items) => Value::Array(items.into_iter().map(to_json).collect()),
        Cbor::Map(pairs) => Value::Object(
            pairs
                .into_iter()
                .filter_map(|(key, value)| key.into_text().ok().map(|key| (key, to_json(value))))
                .collect(),
        ),
        _ => Value::Null,
    }
}

fn to_cbor(value: &Value, time: bool) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Number(number) => {
            let plain = match number.as_i64() {
                Some(integer) => Cbor::Integer(integer.into()),
                None => Cbor::Float(number.as_f64().unwrap_or_default()),
            };
            if time {
                Cbor::Tag(1, Box::new(plain))
            } else {
                plain
            }
        }
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| to_cbor(item, time)).collect()),
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .map(|(key, value)| (Cbor::Text(key.clone()), to_cbor(value, is_time(key))))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_tagged_and_floats_stay_floats() {
        let bytes = encode(
            &json!({"Timestamps": [1_700_000_000.5, 1_700_000_060], "Values": [2.0], "Count": 3}),
        );
        let cbor: Cbor = ciborium::from_reader(bytes.as_slice()).unwrap();
        let text = format!("{cbor:?}");
        assert!(text.contains("Tag(1, Float(1700000000.5))"), "{text}");
        assert!(text.contains("Tag(1, Integer"), "{text}");
        assert!(text.contains("Float(2.0)"), "{text}");
        assert_eq!(decode(&bytes).unwrap()["Count"], json!(3));
    }

    #[test]
    fn not_a_number_arrives_as_text_and_a_list_is_refused() {
        let mut bytes = Vec::new();
        ciborium::into_writer(
            &Cbor::Map(vec![(Cbor::Text("Value".into()), Cbor::Float(f64::NAN))]),
            &mut bytes,
        )
        .unwrap();
        assert_eq!(decode(&bytes).unwrap()["Value"], json!("NaN"));
        bytes.clear();
        ciborium::into_writer(&Cbor::Array(vec![]), &mut bytes).unwrap();
        assert_eq!(decode(&bytes).unwrap_err().code, "SerializationException");
    }
}
