//! The only place that prints. Everything that came from elsewhere is made safe first; a pipe that was
//! closed by its reader is success, not an error, and so is a terminal that hung up.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use super::args::Format;
use crate::domain::credentials::Who;
use crate::domain::problem::Problem;
use crate::domain::text::visible;

/// Standard output, line by line.
pub struct Out {
    format: Format,
    /// Who acts: the first line of a table, and keys of every JSON object.
    who: Option<Who>,
    to: io::StdoutLock<'static>,
}

/// A table: headings and rows.
#[derive(Debug, Default)]
pub struct Table {
    /// Column headings.
    pub head: Vec<&'static str>,
    /// Rows, each as long as `head`.
    pub rows: Vec<Vec<String>>,
}

impl Out {
    /// Locks standard output for the rest of the program.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            who: None,
            to: io::stdout().lock(),
        }
    }

    /// The same, which says who acts: account, region, caller and whose credentials, before the first line and in every
    /// JSON object.
    #[must_use]
    pub fn acting(mut self, who: Who) -> Self {
        self.who = Some(who);
        self
    }

    /// Says who acts now, before anything else is known; a table that follows does not say it again.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn heading(&mut self) -> io::Result<()> {
        match (self.format, self.who.take()) {
            (Format::Table, Some(who)) => closed_is_fine(writeln!(self.to, "{who}")),
            (_, who) => {
                self.who = who;
                Ok(())
            }
        }
    }

    /// A value as JSON, with who acts where it does not say so itself.
    fn value<T: Serialize>(&self, value: &T) -> io::Result<Value> {
        let mut value = serde_json::to_value(value).map_err(io::Error::other)?;
        if let (Some(who), Value::Object(map)) = (&self.who, &mut value)
            && let Value::Object(keys) = who.json()
        {
            for (key, said) in keys {
                map.entry(key).or_insert(said);
            }
        }
        Ok(value)
    }

    /// How results are wanted.
    pub fn format(&self) -> Format {
        self.format
    }

    /// One line of text, whatever the format.
    ///
    /// # Errors
    /// When standard output cannot be written (a closed pipe is not an error).
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.heading()?;
        closed_is_fine(writeln!(self.to, "{}", visible(text)))
    }

    /// Text as it is: our own (completion scripts), never anything from elsewhere.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        closed_is_fine(self.to.write_all(bytes).and_then(|()| self.to.flush()))
    }

    /// Rows: a table for people, an array (or a line each) for programs.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn rows<T: Serialize>(
        &mut self,
        rows: &[T],
        table: impl FnOnce(&[T]) -> Table,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => self.table(&table(rows)),
            Format::Json => {
                let rows = rows
                    .iter()
                    .map(|row| self.value(row))
                    .collect::<io::Result<Vec<_>>>()?;
                self.json(&rows)
            }
            Format::Jsonl => rows.iter().try_for_each(|row| {
                let text = serde_json::to_string(&self.value(row)?).map_err(io::Error::other)?;
                closed_is_fine(writeln!(self.to, "{}", escape_json(&text)))
            }),
        }
    }

    /// What is one document as JSON, and a line for each of its rows as JSON lines; each row has `head`'s keys too.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn document(&mut self, head: &Value, key: &str, rows: Vec<Value>) -> io::Result<()> {
        let with_head = |mut row: Value| {
            if let (Value::Object(row), Value::Object(head)) = (&mut row, head) {
                for (key, value) in head {
                    row.entry(key.as_str()).or_insert_with(|| value.clone());
                }
            }
            row
        };
        if self.format == Format::Jsonl {
            let rows: Vec<Value> = rows.into_iter().map(with_head).collect();
            return self.rows(&rows, |_| Table::default());
        }
        let mut whole = head.clone();
        if let Value::Object(whole) = &mut whole {
            whole.insert(key.to_owned(), rows.into());
        }
        self.json(&whole)
    }

    /// One document: JSON in both JSON formats.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let value = self.value(value)?;
        let text = match self.format {
            Format::Jsonl => serde_json::to_string(&value),
            _ => serde_json::to_string_pretty(&value),
        }
        .map_err(io::Error::other)?;
        closed_is_fine(writeln!(self.to, "{}", escape_json(&text)))
    }

    /// A table, columns as wide as their widest cell.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        self.heading()?;
        let rows: Vec<Vec<String>> = table
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| visible(cell).into_owned()).collect())
            .collect();
        let mut widths: Vec<usize> = table.head.iter().map(|h| h.width()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let head: Vec<String> = table.head.iter().map(|h| (*h).to_owned()).collect();
        for row in std::iter::once(&head).chain(&rows) {
            let mut line = String::new();
            for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line.push_str(cell);
                if n + 1 < row.len() {
                    let gap = width.saturating_sub(cell.width()) + 2;
                    line.extend(std::iter::repeat_n(' ', gap));
                }
            }
            closed_is_fine(writeln!(self.to, "{}", line.trim_end()))?;
        }
        Ok(())
    }
}

fn closed_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        // A job's result is in the journal; its exit code must not change because nobody looks on.
        Err(error) if error.raw_os_error() == Some(EIO) && is_device() => Ok(()),
        other => other,
    }
}

/// What writing to a terminal that hung up fails with.
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

/// A terminal that is gone is no terminal any more, but it is still a character device.
fn is_device() -> bool {
    rustix::fs::fstat(rustix::stdio::stdout())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device())
}

/// JSON escapes C0 already; DEL, C1, bidi and invisible characters are legal in it but not on a terminal.
fn escape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && crate::domain::text::is_hostile(c) {
            let mut units = [0_u16; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A problem on standard error: what and why, then what to do next. One JSON object in the JSON formats.
pub fn problem(problem: &Problem, format: Format) {
    let text = match format {
        Format::Table => {
            let request = problem.request_id.as_deref();
            let request = request.map(|id| format!("\n  request: {}", visible(id)));
            format!(
                "error ({}): {}\n  next: {}{}",
                problem.kind,
                visible(&problem.to_string()),
                visible(&problem.hint),
                request.unwrap_or_default()
            )
        }
        Format::Json | Format::Jsonl => {
            let value = serde_json::json!({ "error": problem });
            escape_json(&value.to_string())
        }
    };
    note(&text);
}

/// A name, or what stands for none in a table.
pub fn or_dash(name: &str) -> String {
    if name.is_empty() {
        "-".to_owned()
    } else {
        name.to_owned()
    }
}

/// A line on standard error.
pub fn note(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Converts a row to JSON, with `state` and `tags` added where it has none.
pub fn json_row<T: Serialize>(row: &T, state: &str) -> Value {
    let mut value = serde_json::to_value(row).unwrap_or(Value::Null);
    if let Value::Object(map) = &mut value {
        map.entry("state").or_insert_with(|| state.into());
        map.entry("tags").or_insert_with(|| serde_json::json!({}));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_carries_no_raw_controls_and_stays_json() {
        let text =
            serde_json::to_string(&serde_json::json!({"a": "x\u{9b}31m\u{202e}\u{7f}\u{e0001}"}))
                .unwrap();
        let safe = escape_json(&text);
        assert!(!safe.chars().any(crate::domain::text::is_hostile), "{safe}");
        let back: Value = serde_json::from_str(&safe).unwrap();
        assert_eq!(back["a"], "x\u{9b}31m\u{202e}\u{7f}\u{e0001}");
    }
}
