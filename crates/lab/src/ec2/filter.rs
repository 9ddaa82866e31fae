//! Filters of describe calls: values ORed, filters ANDed, `*` and `?` as wildcards, `\` to mean them literally.

use crate::bounds;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::world::Tags;

/// EC2's limit on values in all filters of a call.
const VALUES_LIMIT: usize = 200;

/// The filters of one call.
#[derive(Debug, Default)]
pub struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Reads the filters; a name that the call does not have is refused. `known` are the names that the operation
    /// documents, with blanks between, `tag:` among them where it takes the tags of a resource.
    pub fn parse(params: &Params, known: &str) -> Result<Self, AppError> {
        let mut filters = Vec::new();
        for filter in params.structures("Filter") {
            let name = filter
                .get("Name")
                .filter(|name| !name.is_empty())
                .ok_or_else(|| AppError::missing("Filter.Name"))?
                .to_owned();
            let mut known = known.split_ascii_whitespace();
            let tag = name.strip_prefix("tag:").is_some_and(|key| !key.is_empty())
                && known.clone().any(|known| known == "tag:");
            if !tag && !known.any(|known| known == name && known != "tag:") {
                return Err(AppError::value(format!("The filter '{name}' is invalid")));
            }
            let values: Vec<String> = filter
                .list("Value")
                .into_iter()
                .map(str::to_owned)
                .collect();
            if values.is_empty() {
                return Err(AppError::value(format!("The filter '{name}' has no value")));
            }
            filters.push((name, values));
        }
        if filters
            .iter()
            .map(|(_, values)| values.len())
            .sum::<usize>()
            > VALUES_LIMIT
        {
            return Err(AppError::new(
                "FilterLimitExceeded",
                format!(
                    "The maximum number of filter values specified on a single call is {VALUES_LIMIT}"
                ),
            ));
        }
        let patterns = filters
            .iter()
            .flat_map(|(_, values): &(String, Vec<String>)| values)
            .filter(|value| wild(value))
            .map(|value| value.chars().count());
        if patterns.sum::<usize>() > bounds::PATTERNS {
            return Err(AppError::new(
                "FilterLimitExceeded",
                format!(
                    "The filter values with wildcards have more than {} characters together",
                    bounds::PATTERNS
                ),
            ));
        }
        Ok(Self(filters))
    }

    /// Whether a resource passes. `field` gives the values it has for a filter name (none, one, or many).
    pub fn pass(&self, tags: &Tags, field: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|(name, patterns)| {
            let has = if let Some(key) = name.strip_prefix("tag:") {
                tags.get(key).cloned().into_iter().collect()
            } else if name == "tag-key" {
                tags.keys().cloned().collect()
            } else {
                field(name)
            };
            has.iter()
                .any(|value| patterns.iter().any(|pattern| fits(pattern, value)))
        })
    }
}

fn wild(pattern: &str) -> bool {
    pattern.contains(['*', '?', '\\'])
}

fn fits(pattern: &str, value: &str) -> bool {
    if wild(pattern) {
        glob(pattern, value)
    } else {
        pattern == value
    }
}

/// Case-sensitive match over the whole value.
fn glob(pattern: &str, text: &str) -> bool {
    enum Token {
        Any,
        One,
        Char(char),
    }
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p, mut star) = (0, 0, None);
    while t < text.len() {
        match tokens.get(p) {
            Some(Token::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Token::One) => (t, p) = (t + 1, p + 1),
            Some(Token::Char(c)) if *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match star {
                // Let the last star swallow one character more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    tokens[p..].iter().all(|token| matches!(token, Token::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        assert!(glob("db-*", "db-01"));
        assert!(glob("*-0?", "db-01"));
        assert!(!glob("db-?", "db-01"));
        assert!(glob("*a*b*", "xxaxxbxx"));
        assert!(!glob("*a*b", "xxaxxbxx"));
        assert!(glob("100\\*", "100*"));
        assert!(!glob("100\\*", "1000"));
        assert!(!glob("Prod", "prod"));
        assert!(glob("*", ""));
        assert!(!glob("", "a"));
    }

    #[test]
    fn values_or_filters_and() {
        let params = Params::parse(b"Filter.1.Name=tag%3AEnv&Filter.1.Value.1=prod&Filter.1.Value.2=stag*&Filter.2.Name=az&Filter.2.Value.1=a");
        let filters = Filters::parse(&params, "tag: az").unwrap();
        let tags = |env: &str| Tags::from([("Env".to_owned(), env.to_owned())]);
        assert!(filters.pass(&tags("staging"), |_| vec!["a".into()]));
        assert!(!filters.pass(&tags("staging"), |_| vec!["b".into()]));
        assert!(!filters.pass(&tags("dev"), |_| vec!["a".into()]));
        assert!(!filters.pass(&Tags::new(), |_| vec!["a".into()]));
        assert_eq!(
            Filters::parse(&params, "tag:").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            Filters::parse(&params, "az").unwrap_err().code,
            "InvalidParameterValue",
            "not every call has tags"
        );
    }
}
