//! Parameters of the query protocols: `Filter.1.Name=…&Filter.1.Value.1=…`.

use std::collections::BTreeMap;

use super::AppError;
use crate::bounds;

/// Form parameters by full name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// `MalformedQueryString` for more of them, longer or deeper names than any operation has.
    pub fn read(body: &[u8]) -> Result<Self, AppError> {
        let refused = |message: String| Err(AppError::new("MalformedQueryString", message));
        let mut pairs = body.split(|byte| *byte == b'&');
        if pairs.by_ref().nth(bounds::PARAMETERS).is_some() {
            return refused(format!(
                "The query string has more than {} parameters",
                bounds::PARAMETERS
            ));
        }
        for pair in body.split(|byte| *byte == b'&') {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            // Escaped dots count too.
            let dots = |part: &[u8]| part.iter().filter(|byte| **byte == b'.').count();
            let escaped = name
                .windows(3)
                .filter(|code| code.eq_ignore_ascii_case(b"%2e"))
                .count();
            if name.len() > bounds::PARAMETER_NAME
                || dots(name) + escaped >= bounds::PARAMETER_PARTS
            {
                return refused(format!(
                    "The query string has a parameter whose name is longer than {} bytes or has more than {} parts",
                    bounds::PARAMETER_NAME,
                    bounds::PARAMETER_PARTS
                ));
            }
        }
        Ok(Self::parse(body))
    }

    /// Reads an `application/x-www-form-urlencoded` body. Bytes that are not UTF-8 become replacement characters.
    pub fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(pairs.collect())
    }

    /// All parameters of the query, flat.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A parameter of the request, by its full name; an empty value is returned as it is.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// One value that must be there and not empty.
    pub fn required(&self, name: &str) -> Result<&str, AppError> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| AppError::missing(name))
    }

    /// `true` or `false`; absent is `None`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, AppError> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(AppError::value(format!(
                "Value ({other}) for parameter {name} is invalid. Expected 'true' or 'false'."
            ))),
        }
    }

    /// Reads a parameter as a whole number.
    pub fn number(&self, name: &str) -> Result<Option<i64>, AppError> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                AppError::value(format!(
                    "Value ({text}) for parameter {name} is invalid. Expected an integer."
                ))
            }),
        }
    }

    /// The values of `NAME.1`, `NAME.2` … in their order.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let mut found: Vec<(u32, &str)> = self
            .with_prefix(name)
            .filter_map(|(rest, value)| rest.parse().ok().map(|n| (n, value)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// The structures `NAME.1.…`, `NAME.2.…` in their order.
    pub fn structures(&self, name: &str) -> Vec<Self> {
        let mut found: BTreeMap<u32, Self> = BTreeMap::new();
        for (rest, value) in self.with_prefix(name) {
            if let Some((n, field)) = rest.split_once('.')
                && let Ok(n) = n.parse()
            {
                found
                    .entry(n)
                    .or_default()
                    .0
                    .insert(field.to_owned(), value.to_owned());
            }
        }
        found.into_values().collect()
    }

    fn with_prefix<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'n> {
        self.0.iter().filter_map(move |(key, value)| {
            let rest = key.strip_prefix(name)?.strip_prefix('.')?;
            Some((rest, value.as_str()))
        })
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_numeric_order_and_structures_nest() {
        let params = Params::parse(b"Id.10=k&Id.2=b&Filter.1.Name=tag%3AA+b&Filter.1.Value.1=x&Filter.1.Value.2=%C3%BC&DryRun=true");
        assert_eq!(params.list("Id"), ["b", "k"]);
        let filters = params.structures("Filter");
        assert_eq!(filters[0].get("Name"), Some("tag:A b"));
        assert_eq!(filters[0].list("Value"), ["x", "ü"]);
        assert_eq!(params.flag("DryRun").unwrap(), Some(true));
        assert!(Params::parse(b"DryRun=maybe").flag("DryRun").is_err());
    }

    #[test]
    fn p30_names_and_numbers_of_parameters_are_bounded_before_they_are_read() {
        let long = format!("{}=1", "a".repeat(513));
        let deep = format!("{}=1", "a.".repeat(16));
        let hidden = format!("{}=1", "a%2E".repeat(16));
        let many = "a=1&".repeat(20_001);
        for form in [long, deep, hidden, many] {
            let refused = Params::read(form.as_bytes()).unwrap_err();
            assert_eq!(refused.code, "MalformedQueryString", "{:.20}", form);
        }
        let fits = format!("{}=1&{}", "a.".repeat(14) + "a", "Id.1=x&".repeat(19_990));
        assert_eq!(
            Params::read(fits.as_bytes()).unwrap().get("Id.1"),
            Some("x")
        );
    }
}
