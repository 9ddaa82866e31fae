//! The service models, read from `model.json`; `extract.py` says how a type is written.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

/// A type of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    Whole,
    Real,
    Flag,
    Time,
    Words(Vec<String>),
    /// Name of an element on the wire, `flat` for none.
    List(String, Box<Kind>),
    Map(Box<Kind>),
    Structure(String),
}

impl Kind {
    fn parse(text: &str) -> Self {
        if let Some(rest) = text.strip_prefix('[') {
            let (element, inner) = rest.split_once("] ").unwrap();
            let name = element.split(' ').next().unwrap();
            return Self::List(name.to_owned(), Box::new(Self::parse(inner)));
        }
        if let Some(inner) = text.strip_prefix("{} ") {
            return Self::Map(Box::new(Self::parse(inner)));
        }
        if let Some(words) = text.strip_prefix("enum ") {
            return Self::Words(words.split('|').map(str::to_owned).collect());
        }
        match text.split(' ').next().unwrap() {
            "string" => Self::Text,
            "integer" => Self::Whole,
            "double" => Self::Real,
            "boolean" => Self::Flag,
            "timestamp" => Self::Time,
            name => Self::Structure(name.to_owned()),
        }
    }
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    pub wire: String,
    pub kind: Kind,
    pub required: bool,
}

pub type Structure = BTreeMap<String, Member>;

/// One service.
#[derive(Debug)]
pub struct Service {
    /// As the SigV4 scope calls it.
    pub signed: &'static str,
    pub version: String,
    pub operations: BTreeMap<String, Value>,
    pub incoming: BTreeMap<String, Structure>,
    pub outgoing: BTreeMap<String, Structure>,
}

impl Service {
    fn read(signed: &'static str, model: &Value) -> Self {
        let structures = |key: &str| -> BTreeMap<String, Structure> {
            let all = model[key].as_object().unwrap().iter();
            all.map(|(name, members)| (name.clone(), structure(members)))
                .collect()
        };
        let operations = model["operations"].as_object().unwrap().iter();
        Self {
            signed,
            version: model["version"].as_str().unwrap().to_owned(),
            operations: operations
                .map(|(name, facts)| (name.clone(), facts.clone()))
                .collect(),
            incoming: structures("in"),
            outgoing: structures("out"),
        }
    }

    /// The input's structure, of an operation that has one.
    pub fn input(&self, operation: &str) -> Option<&Structure> {
        let name = self.operations[operation]["input"].as_str()?;
        Some(&self.incoming[name])
    }

    /// Name of the output's structure, of an operation that has one.
    pub fn output(&self, operation: &str) -> Option<&str> {
        self.operations[operation]["output"].as_str()
    }

    /// A list of words that the model has of an operation.
    pub fn words(&self, operation: &str, key: &str) -> Vec<String> {
        let list = self.operations[operation].get(key);
        let words = list.and_then(Value::as_array).into_iter().flatten();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    }
}

fn structure(members: &Value) -> Structure {
    let members = members.as_object().unwrap().iter();
    let read = |text: &Value| {
        let (wire, kind) = text.as_str().unwrap().split_once(' ').unwrap();
        Member {
            wire: wire.to_owned(),
            required: kind.ends_with('!'),
            kind: Kind::parse(kind.trim_end_matches('!')),
        }
    };
    members
        .map(|(name, text)| (name.clone(), read(text)))
        .collect()
}

/// All of them.
pub fn services() -> &'static [Service] {
    static ALL: OnceLock<Vec<Service>> = OnceLock::new();
    ALL.get_or_init(|| {
        let model: Value = serde_json::from_str(include_str!("model.json")).unwrap();
        [
            ("ec2", "ec2"),
            ("ssm", "ssm"),
            ("monitoring", "cloudwatch"),
            ("sts", "sts"),
        ]
        .map(|(signed, name)| Service::read(signed, &model[name]))
        .into()
    })
}

/// One, by the name that it is signed for.
pub fn service(signed: &str) -> &'static Service {
    services().iter().find(|s| s.signed == signed).unwrap()
}
