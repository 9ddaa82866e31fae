//! The parser of FF1: strict about what it takes for an event, total over any input.

use serde_json::{Map, Value};

use super::{Line, Malformed, Trace, TraceEvent};
use crate::ids::VolumeId;
use crate::text::visible;

/// Longest line of the protocol in bytes.
const MAX_LINE: usize = 1_000;

/// Reads a command's standard output. Lines that do not begin with `FF1 ` are chatter; lines that do
/// and cannot be understood are counted; nothing is an error.
pub fn parse(stdout: &str) -> Trace {
    let mut trace = Trace::default();
    let mut last_seq = 0;
    for (index, line) in stdout.lines().enumerate() {
        let Some(json) = line.strip_prefix("FF1 ") else {
            continue;
        };
        match parse_line(line.len(), json) {
            Ok(parsed) => {
                if parsed.seq <= last_seq && trace.out_of_order.is_none() {
                    trace.out_of_order = Some(format!("seq {} came after {last_seq}", parsed.seq));
                }
                last_seq = last_seq.max(parsed.seq);
                trace.lines.push(parsed);
            }
            Err(why) => trace.malformed.push(Malformed {
                line_no: index + 1,
                why,
            }),
        }
    }
    trace
}

fn parse_line(len: usize, json: &str) -> Result<Line, String> {
    if len > MAX_LINE {
        return Err(format!("{len} bytes, more than {MAX_LINE}"));
    }
    let value: Value = serde_json::from_str(json).map_err(|e| match e.is_eof() {
        true => "it was cut short".to_owned(),
        false => format!("it is not JSON at column {}", e.column()),
    })?;
    let Value::Object(map) = value else {
        return Err("not a JSON object".to_owned());
    };
    let keys = Keys(&map);
    let name = keys.text("t")?;
    Ok(Line {
        seq: keys.number("seq")?,
        ms: keys.number("ms")?,
        said: event(&name, &keys)?,
    })
}

fn event(name: &str, keys: &Keys<'_>) -> Result<TraceEvent, String> {
    Ok(match name {
        "hello" => TraceEvent::Hello {
            recipe: keys.text("recipe")?,
            version: keys.number("version")?,
            job: keys.text("job")?,
            command: keys.text("command")?,
        },
        "tool" => TraceEvent::Tool {
            name: keys.text("name")?,
            path: keys.maybe_text("path")?,
        },
        "mount" => TraceEvent::Mount {
            mount: keys.text("mount")?,
            fs: keys.text("fs")?,
            dev: keys.text("dev")?,
            volumes: keys.volumes("volumes", "disks")?,
            disks: keys.texts("disks")?,
            covered: keys.flag("covered")?,
            reason: keys.maybe_text("reason")?,
        },
        "agent" => TraceEvent::Agent {
            path: keys.text("path")?,
            mount: keys.text("mount")?,
        },
        "engine" => TraceEvent::Engine {
            name: keys.text("name")?,
            version: keys.text("version")?,
            datadir: keys.text("datadir")?,
            replica: keys.flag("replica")?,
        },
        "armed" => TraceEvent::Armed {
            budget_ms: keys.number("budget_ms")?,
            guard_pid: keys.number("guard_pid")?,
            holder_pid: keys.number("holder_pid")?,
        },
        "flushed" => TraceEvent::Flushed,
        "locked" => TraceEvent::Locked {
            session: keys.session()?,
            how: keys.text("how")?,
            tries: keys.number("tries")?,
        },
        "lock-timeout" => TraceEvent::LockTimeout {
            tries: keys.number("tries")?,
        },
        "synced" => TraceEvent::Synced,
        "frozen" => TraceEvent::Frozen {
            mount: keys.text("mount")?,
            took_ms: keys.number("took_ms")?,
        },
        "ready" => TraceEvent::Ready,
        "release" => TraceEvent::Release,
        "prepared" => TraceEvent::Prepared {
            how: keys.text("how")?,
            region: keys.text("region")?,
            credentials_until: keys.maybe_text("credentials_until")?,
        },
        "request" => TraceEvent::Request,
        "answer" => TraceEvent::Answer {
            ok: keys.flag("ok")?,
            status: keys.number("status")?,
            took_ms: keys.number("took_ms")?,
            code: keys.maybe_text("code")?,
            text: keys.maybe_text("text")?,
        },
        "snapshot" => TraceEvent::Snapshot {
            snapshot: keys.id("snapshot")?,
            volume: keys.id("volume")?,
            gib: keys.number("gib")?,
        },
        "path" => TraceEvent::Path {
            what: keys.text("what")?,
            path: keys.text("path")?,
        },
        "position" => TraceEvent::Position {
            name: keys.text("name")?,
            value: keys.text("value")?,
        },
        "file" => TraceEvent::File {
            name: keys.text("name")?,
            part: keys.number("part")?,
            parts: keys.number("parts")?,
            text: keys.text("text")?,
        },
        "note" => TraceEvent::Note {
            text: keys.text("text")?,
        },
        "alive" => TraceEvent::Alive {
            session: keys.session()?,
        },
        "thawed" => TraceEvent::Thawed {
            mount: keys.text("mount")?,
            ok: keys.flag("ok")?,
            text: keys.maybe_text("text")?,
        },
        "unlocked" => TraceEvent::Unlocked {
            session: keys.session()?,
        },
        "disarmed" => TraceEvent::Disarmed {
            fired: keys.flag("fired")?,
        },
        "probe" => TraceEvent::Probe {
            mount: keys.text("mount")?,
            frozen: keys.flag("frozen")?,
        },
        "window" => TraceEvent::Window {
            window_ms: keys.number("window_ms")?,
        },
        "error" => TraceEvent::Error {
            code: keys.text("code")?,
            text: keys.text("text")?,
            mount: keys.maybe_text("mount")?,
        },
        "end" => TraceEvent::End {
            outcome: keys.text("outcome")?,
            exit: keys.signed("exit")?,
        },
        other => TraceEvent::Unknown {
            event: visible(other).into_owned(),
        },
    })
}

/// Typed access to the keys of one event; a key of another type is as bad as none.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn text(&self, key: &str) -> Result<String, String> {
        self.maybe_text(key)?
            .ok_or_else(|| format!("`{key}` is missing"))
    }

    fn maybe_text(&self, key: &str) -> Result<Option<String>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{key}` is not a string")),
        }
    }

    fn number(&self, key: &str) -> Result<u64, String> {
        self.0
            .get(key)
            .and_then(Value::as_u64)
            .ok_or_else(|| format!("`{key}` is not a whole number"))
    }

    fn signed(&self, key: &str) -> Result<i64, String> {
        self.0
            .get(key)
            .and_then(Value::as_i64)
            .ok_or_else(|| format!("`{key}` is not a whole number"))
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        self.0
            .get(key)
            .and_then(Value::as_bool)
            .ok_or_else(|| format!("`{key}` is not true or false"))
    }

    /// A connection id: a number to the server, a string to some clients.
    fn session(&self) -> Result<String, String> {
        match self.0.get("session") {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err("`session` is not a connection id".to_owned()),
        }
    }

    fn id<T: std::str::FromStr>(&self, key: &str) -> Result<T, String> {
        self.text(key)?
            .parse()
            .map_err(|_| format!("`{key}` is not an id of its kind"))
    }

    /// Volume ids; they may be missing where disks are named instead.
    fn volumes(&self, key: &str, instead: &str) -> Result<Vec<VolumeId>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) if self.0.contains_key(instead) => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .map(|item| {
                    item.as_str()
                        .and_then(|text| text.parse().ok())
                        .ok_or_else(|| format!("`{key}` holds something that is not a volume id"))
                })
                .collect(),
            _ => Err(format!("`{key}` is not an array")),
        }
    }

    /// Strings; none when the key is missing.
    fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| format!("`{key}` holds something that is not a string")),
            Some(_) => Err(format!("`{key}` is not an array")),
        }
    }
}
