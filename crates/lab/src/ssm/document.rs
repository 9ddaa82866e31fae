//! SSM `Command` documents, schema 2.2 (and 1.2 for AWS's own two): reading, checking, parameters, substitution.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pattern::Pattern;
use crate::bounds;
use crate::json::ServiceError;
use crate::world::Platform;

/// Largest document, in bytes.
pub const SIZE_LIMIT: usize = 64 * 1024;
/// What the agent takes when a step's time limit is absent or out of bounds, in seconds.
const DEFAULT_TIMEOUT: u64 = 3600;

/// Parameters by name, each a list of strings.
pub type Parameters = BTreeMap<String, Vec<String>>;

/// One parameter's declaration.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub kind: String,
    pub description: Option<String>,
    pub default: Option<Vec<String>>,
    allowed_values: Vec<String>,
    allowed_pattern: Option<(String, Pattern)>,
    min_items: Option<u64>,
    max_items: Option<u64>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: String,
    pub action: String,
    lines: Value,
    timeout: Value,
    /// `platformType` that a precondition asks for, in lower case.
    platform: Option<String>,
}

/// A document's content, checked.
#[derive(Debug, Clone)]
pub struct Content {
    pub schema: String,
    pub description: Option<String>,
    pub parameters: BTreeMap<String, Parameter>,
    pub steps: Vec<Step>,
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidDocumentContent", message)
}

impl Content {
    /// Reads and checks a JSON document.
    ///
    /// # Errors
    /// `MaxDocumentSizeExceeded`, `InvalidDocumentSchemaVersion`, or `InvalidDocumentContent` with what is wrong where.
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        if text.len() > SIZE_LIMIT {
            return Err(ServiceError::new(
                "MaxDocumentSizeExceeded",
                format!(
                    "document is {} bytes; the limit is {SIZE_LIMIT}",
                    text.len()
                ),
            ));
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| invalid(format!("JSON not well-formed. {error}")))?;
        let schema = value
            .get("schemaVersion")
            .and_then(Value::as_str)
            .ok_or_else(|| invalid("schemaVersion is missing"))?;
        let parameters = match value.get("parameters") {
            None => BTreeMap::new(),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(name, spec)| Ok((name.clone(), parameter(name, spec)?)))
                .collect::<Result<_, ServiceError>>()?,
            Some(_) => return Err(invalid("parameters must be an object")),
        };
        let steps = match schema {
            "2.2" | "2.0" => main_steps(&value)?,
            "1.2" => runtime_config(&value)?,
            other => {
                return Err(ServiceError::new(
                    "InvalidDocumentSchemaVersion",
                    format!("schema version {other} is not supported for Command documents"),
                ));
            }
        };
        for name in steps.iter().flat_map(|step| {
            references(&step.lines)
                .into_iter()
                .chain(references(&step.timeout))
        }) {
            if !parameters.contains_key(&name) {
                return Err(invalid(format!(
                    "parameter `{name}` is used in a step but not declared"
                )));
            }
        }
        let description = value
            .get("description")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Ok(Self {
            schema: schema.to_owned(),
            description,
            parameters,
            steps,
        })
    }

    /// Platforms on which at least one step can run.
    pub fn platforms(&self) -> Vec<&'static str> {
        [("Windows", Platform::Windows), ("Linux", Platform::Linux)]
            .into_iter()
            .filter(|(_, platform)| self.runs_on(*platform))
            .map(|(name, _)| name)
            .collect()
    }

    /// Whether a step fits the platform.
    pub fn runs_on(&self, platform: Platform) -> bool {
        self.steps.iter().any(|step| step.runs_on(platform))
    }

    /// Checks sent parameters and adds the defaults.
    ///
    /// # Errors
    /// `InvalidParameters`, naming the parameter and why.
    pub fn bind(&self, sent: &Parameters) -> Result<Parameters, ServiceError> {
        let wrong = |message: String| ServiceError::new("InvalidParameters", message);
        if let Some(name) = sent
            .keys()
            .find(|name| !self.parameters.contains_key(*name))
        {
            return Err(wrong(format!(
                "Parameter \"{name}\" is not declared by the document"
            )));
        }
        let matched = self
            .parameters
            .iter()
            .filter(|(_, spec)| spec.allowed_pattern.is_some())
            .filter_map(|(name, _)| sent.get(name))
            .flatten();
        if matched.map(String::len).sum::<usize>() > bounds::MATCHED {
            return Err(wrong(format!(
                "The values of parameters with an allowed pattern have more than {} bytes together",
                bounds::MATCHED
            )));
        }
        let mut bound = Parameters::new();
        for (name, spec) in &self.parameters {
            let values = sent.get(name).or(spec.default.as_ref());
            let values =
                values.ok_or_else(|| wrong(format!("Missing required parameter: {name}")))?;
            if let Some(message) = spec.objection(values) {
                return Err(wrong(format!("Parameter \"{name}\": {message}")));
            }
            bound.insert(name.clone(), values.clone());
        }
        if let Some(step) = self
            .steps
            .iter()
            .find(|step| step.script_length(&bound) > bounds::SCRIPT)
        {
            return Err(wrong(format!(
                "The script of step `{}` has more than {} bytes with its parameters in place",
                step.name,
                bounds::SCRIPT
            )));
        }
        Ok(bound)
    }
}

impl Parameter {
    fn objection(&self, values: &[String]) -> Option<String> {
        let list = self.kind == "StringList";
        if !list && values.len() != 1 {
            return Some(format!(
                "{} takes one value, got {}",
                self.kind,
                values.len()
            ));
        }
        if self.kind == "Boolean"
            && values
                .iter()
                .any(|value| value != "true" && value != "false")
        {
            return Some("must be true or false".to_owned());
        }
        let count = values.len() as u64;
        if list
            && (self.min_items.is_some_and(|min| count < min)
                || self.max_items.is_some_and(|max| count > max))
        {
            return Some(format!("{count} items are not within the declared limits"));
        }
        values.iter().find_map(|value| {
            if !self.allowed_values.is_empty() && !self.allowed_values.contains(value) {
                return Some(format!(
                    "\"{value}\" is not one of the allowed values {:?}",
                    self.allowed_values
                ));
            }
            match &self.allowed_pattern {
                Some((text, pattern)) if !pattern.matches(value) => Some(format!(
                    "\"{value}\" does not match the allowed pattern {text}"
                )),
                _ => None,
            }
        })
    }
}

impl Step {
    /// Whether the plugin and the step's precondition fit the platform.
    pub fn runs_on(&self, platform: Platform) -> bool {
        let name = match platform {
            Platform::Linux => "linux",
            Platform::Windows => "windows",
        };
        let plugin = match platform {
            Platform::Linux => "aws:runShellScript",
            Platform::Windows => "aws:runPowerShellScript",
        };
        self.action == plugin && self.platform.as_deref().is_none_or(|wanted| wanted == name)
    }

    /// About how many bytes of memory a copy of it holds.
    pub(super) fn weight(&self) -> usize {
        let lines = match &self.lines {
            Value::Array(lines) => lines
                .iter()
                .filter_map(Value::as_str)
                .map(|line| line.len() + 56)
                .sum(),
            line => line.as_str().map_or(0, str::len),
        };
        self.name.len() + self.action.len() + 128 + lines
    }

    /// How long the script will be at most; counted, before anything is put together.
    fn script_length(&self, parameters: &Parameters) -> usize {
        let one = std::slice::from_ref(&self.lines);
        let lines = self.lines.as_array().map_or(one, Vec::as_slice).iter();
        lines
            .filter_map(Value::as_str)
            .map(
                |line| match whole_reference(line).and_then(|name| parameters.get(name)) {
                    Some(values) => values.iter().map(|value| value.len() + 1).sum(),
                    None => substituted_length(line, parameters) + 1,
                },
            )
            .sum()
    }

    /// The script that the agent writes, with parameters in place.
    pub fn script(&self, parameters: &Parameters) -> String {
        let mut lines = Vec::new();
        let one = std::slice::from_ref(&self.lines);
        for line in self
            .lines
            .as_array()
            .map_or(one, Vec::as_slice)
            .iter()
            .filter_map(Value::as_str)
        {
            match whole_reference(line).and_then(|name| parameters.get(name)) {
                Some(values) => lines.extend(values.iter().cloned()),
                None => lines.push(substitute(line, parameters)),
            }
        }
        lines.join("\n")
    }

    /// The step's time limit in seconds; out of 5–172,800 the agent takes 3,600.
    pub fn timeout_seconds(&self, parameters: &Parameters) -> u64 {
        let seconds = match &self.timeout {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if substituted_length(text, parameters) > bounds::RECORDED => None,
            Value::String(text) => substitute(text, parameters).trim().parse().ok(),
            _ => None,
        };
        seconds
            .filter(|seconds| (5..=172_800).contains(seconds))
            .unwrap_or(DEFAULT_TIMEOUT)
    }
}

fn parameter(name: &str, spec: &Value) -> Result<Parameter, ServiceError> {
    let kind = spec
        .get("type")
        .and_then(Value::as_str)
        .ok_or_else(|| invalid(format!("parameter `{name}` has no type")))?;
    if ![
        "String",
        "StringList",
        "Boolean",
        "Integer",
        "StringMap",
        "MapList",
    ]
    .contains(&kind)
    {
        return Err(invalid(format!(
            "parameter `{name}` has the unknown type `{kind}`"
        )));
    }
    let strings = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().map(plain).collect(),
            other => vec![plain(other)],
        }
    };
    let allowed_pattern = match spec.get("allowedPattern").and_then(Value::as_str) {
        Some(text) => {
            let pattern = Pattern::parse(text).map_err(|message| {
                invalid(format!("parameter `{name}`: allowedPattern: {message}"))
            })?;
            Some((text.to_owned(), pattern))
        }
        None => None,
    };
    Ok(Parameter {
        kind: kind.to_owned(),
        description: spec
            .get("description")
            .and_then(Value::as_str)
            .map(str::to_owned),
        default: spec.get("default").map(strings),
        allowed_values: spec.get("allowedValues").map(strings).unwrap_or_default(),
        allowed_pattern,
        min_items: spec.get("minItems").and_then(Value::as_u64),
        max_items: spec.get("maxItems").and_then(Value::as_u64),
    })
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn main_steps(value: &Value) -> Result<Vec<Step>, ServiceError> {
    let steps = value
        .get("mainSteps")
        .and_then(Value::as_array)
        .filter(|steps| !steps.is_empty());
    let steps = steps.ok_or_else(|| invalid("mainSteps must be a list with at least one step"))?;
    let mut out: Vec<Step> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let member = |key: &str| {
            step.get(key)
                .and_then(Value::as_str)
                .ok_or_else(|| invalid(format!("mainSteps[{index}] has no {key}")))
        };
        let (name, action) = (member("name")?, member("action")?);
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(invalid(format!(
                "step name `{name}` may hold only letters, digits and _"
            )));
        }
        if out.iter().any(|other| other.name == name) {
            return Err(invalid(format!("step name `{name}` is used twice")));
        }
        let inputs = step
            .get("inputs")
            .ok_or_else(|| invalid(format!("step `{name}` has no inputs")))?;
        out.push(self_contained(name, action, inputs, precondition(step))?);
    }
    Ok(out)
}

fn runtime_config(value: &Value) -> Result<Vec<Step>, ServiceError> {
    let config = value
        .get("runtimeConfig")
        .and_then(Value::as_object)
        .ok_or_else(|| invalid("runtimeConfig is missing"))?;
    config
        .iter()
        .map(|(action, body)| {
            let inputs = body
                .pointer("/properties/0")
                .ok_or_else(|| invalid(format!("`{action}` has no properties")))?;
            // Schema 1.2 has no step names: the plugin's own name serves.
            self_contained(action, action, inputs, None)
        })
        .collect()
}

fn self_contained(
    name: &str,
    action: &str,
    inputs: &Value,
    platform: Option<String>,
) -> Result<Step, ServiceError> {
    if !["aws:runShellScript", "aws:runPowerShellScript"].contains(&action) {
        return Err(invalid(format!(
            "the action `{action}` of step `{name}` is not one that the lab's agent has"
        )));
    }
    let lines = inputs
        .get("runCommand")
        .ok_or_else(|| invalid(format!("step `{name}` has no runCommand")))?;
    let fine = match lines {
        Value::Array(items) => items.iter().all(Value::is_string),
        other => other.is_string(),
    };
    if !fine {
        return Err(invalid(format!(
            "runCommand of step `{name}` must be a list of strings"
        )));
    }
    let timeout = inputs.get("timeoutSeconds").cloned().unwrap_or(Value::Null);
    Ok(Step {
        name: name.to_owned(),
        action: action.to_owned(),
        lines: lines.clone(),
        timeout,
        platform,
    })
}

fn precondition(step: &Value) -> Option<String> {
    let pair = step.pointer("/precondition/StringEquals")?.as_array()?;
    (pair.first()?.as_str()? == "platformType")
        .then(|| pair.get(1).map(|name| plain(name).to_lowercase()))?
}

/// Splits text into literal and `{{ name }}` parts; `ssm:` references and what is no name stay literal.
fn parts(text: &str) -> Vec<Result<&str, &str>> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut from = 0;
    let mut next_close: Option<usize> = None;
    while let Some(open) = rest[from..].find("{{").map(|at| at + from) {
        // Looked for once, however many openings come before it.
        let found = match next_close.filter(|close| *close >= open) {
            Some(close) => Some(close),
            None => rest[open..].find("}}").map(|at| at + open),
        };
        let Some(close) = found else {
            break;
        };
        next_close = Some(close);
        let name = rest[open + 2..close].trim();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            from = open + 2;
            continue;
        }
        out.push(Err(&rest[..open]));
        out.push(Ok(name));
        rest = &rest[close + 2..];
        from = 0;
        next_close = None;
    }
    out.push(Err(rest));
    out
}

fn whole_reference(line: &str) -> Option<&str> {
    match parts(line.trim()).as_slice() {
        [Err(""), Ok(name), Err("")] => Some(name),
        _ => None,
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => parts(text)
            .into_iter()
            .filter_map(Result::ok)
            .map(str::to_owned)
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// At most so long is what [`substitute`] makes.
fn substituted_length(text: &str, parameters: &Parameters) -> usize {
    let values = parts(text)
        .into_iter()
        .filter_map(Result::ok)
        .filter_map(|name| parameters.get(name))
        .map(|values| match values.as_slice() {
            [one] => one.len(),
            // Lists are written as JSON, in which a byte takes up to six.
            many => many.iter().map(|value| value.len() * 6 + 4).sum(),
        });
    text.len() + values.sum::<usize>()
}

/// Puts parameters in place in one string, as the agent does: plain text, without any quoting.
pub fn substitute(text: &str, parameters: &Parameters) -> String {
    parts(text)
        .into_iter()
        .map(|part| match part {
            Err(literal) => literal.to_owned(),
            Ok(name) => match parameters.get(name).map(Vec::as_slice) {
                Some([one]) => one.clone(),
                Some(many) => serde_json::json!(many).to_string(),
                None => format!("{{{{ {name} }}}}"),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({"schemaVersion": "2.2", "parameters": {
            "command": {"type": "String", "default": "dry-run", "allowedValues": ["pre-script", "dry-run"]},
            "budget": {"type": "String", "default": "30", "allowedPattern": "^[1-9][0-9]{0,2}$"}},
            "mainSteps": [{"name": "run", "action": "aws:runShellScript",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {"timeoutSeconds": "{{ budget }}", "runCommand": ["#!/bin/sh", "echo {{command}} ${x} {{ budget }} {{ ssm:a }}"]}}]})
    }

    #[test]
    fn parameters_are_substituted_like_the_agent_does() {
        let content = Content::parse(&document().to_string()).unwrap();
        let bound = content
            .bind(&Parameters::from([(
                "command".to_owned(),
                vec!["pre-script".to_owned()],
            )]))
            .unwrap();
        assert_eq!(
            content.steps[0].script(&bound),
            "#!/bin/sh\necho pre-script ${x} 30 {{ ssm:a }}"
        );
        assert_eq!(content.steps[0].timeout_seconds(&bound), 30);
        assert_eq!(content.platforms(), ["Linux"]);
    }

    #[test]
    fn bad_parameters_are_named() {
        for (name, value, why) in [
            ("command", "thaw", "allowed values"),
            ("budget", "0", "allowed pattern"),
            ("nobody", "1", "not declared"),
        ] {
            let content = Content::parse(&document().to_string()).unwrap();
            let given = Parameters::from([(name.to_owned(), vec![value.to_owned()])]);
            let error = content.bind(&given).unwrap_err();
            assert_eq!(error.code, "InvalidParameters");
            assert!(
                error.message.contains(name) && error.message.contains(why),
                "{}",
                error.message
            );
        }
    }

    #[test]
    fn broken_documents_are_refused_with_the_reason() {
        let mut undeclared = document();
        undeclared["mainSteps"][0]["inputs"]["runCommand"][1] = json!("echo {{ nothing }}");
        let mut bare = document();
        bare["mainSteps"] = json!([]);
        for (text, why) in [
            ("{", "well-formed"),
            (&undeclared.to_string(), "nothing"),
            (&bare.to_string(), "mainSteps"),
        ] {
            let error = Content::parse(text).unwrap_err();
            assert_eq!(error.code, "InvalidDocumentContent");
            assert!(error.message.contains(why), "{}", error.message);
        }
        assert_eq!(
            Content::parse(&" ".repeat(SIZE_LIMIT + 1))
                .unwrap_err()
                .code,
            "MaxDocumentSizeExceeded"
        );
    }
}
