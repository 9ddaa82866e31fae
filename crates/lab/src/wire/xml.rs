//! A small XML writer: always well-formed, always escaped.

use std::fmt::Display;

/// An XML document under construction.
#[derive(Debug)]
pub struct Xml(String);

impl Xml {
    /// Starts with the XML declaration.
    pub fn document() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".into())
    }

    /// Starts without a declaration.
    pub fn bare() -> Self {
        Self(String::new())
    }

    /// An element with content.
    pub fn inside(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        content(self);
        self.close(name);
    }

    /// An element with a default namespace.
    pub fn inside_ns(&mut self, name: &str, namespace: &str, content: impl FnOnce(&mut Self)) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push_str(" xmlns=\"");
        self.0.push_str(&escape(namespace));
        self.0.push_str("\">");
        content(self);
        self.close(name);
    }

    /// Writes an element with text.
    pub fn text(&mut self, name: &str, value: impl Display) {
        let value = escape(&value.to_string());
        self.inside(name, |xml| xml.0.push_str(&value));
    }

    /// A leaf that is left out when there is nothing to say.
    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Writes a list: `<name><item>…</item>…</name>`
    pub fn items<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.inside(name, |xml| {
            for item in items {
                xml.inside("item", |xml| each(xml, item));
            }
        });
    }

    /// Ends the document, and returns its text.
    pub fn finish(self) -> String {
        self.0
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }
}

/// Escapes text; carriage returns become references because parsers would turn them into line feeds.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            // What XML 1.0 cannot carry at all is shown as the replacement character.
            c if !legal(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Whether XML 1.0 can carry this character.
pub fn legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_markup_returns_and_the_untransportable() {
        let mut xml = Xml::bare();
        xml.inside("a", |xml| xml.text("b", "<x>&\"'\r\u{1}ü"));
        assert_eq!(
            xml.finish(),
            "<a><b>&lt;x&gt;&amp;&quot;&apos;&#13;\u{fffd}ü</b></a>"
        );
    }

    #[test]
    fn lists_and_absent_leaves() {
        let mut xml = Xml::bare();
        xml.items("set", [1, 2], |xml, n| xml.text("n", n));
        xml.maybe("none", None::<&str>);
        assert_eq!(
            xml.finish(),
            "<set><item><n>1</n></item><item><n>2</n></item></set>"
        );
    }
}
