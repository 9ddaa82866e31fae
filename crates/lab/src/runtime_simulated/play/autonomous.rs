//! The command `snapshot`, which does everything itself, and the proof of its rights in `dry-run`. The set is made
//! through the lab's own front door, by a request that is signed with the credentials of the instance's role.

use std::time::Duration;

use bytes::Bytes;
use chrono::SecondsFormat;
use http::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::Play;
use crate::Lab;
use crate::imds::RoleSession;
use crate::sigv4;

/// Left of the budget for the thaw when an answer does not come.
const RESERVE: Duration = Duration::from_secs(2);

/// What is ready before the first freeze.
struct Prepared {
    lab: Lab,
    region: String,
    session: RoleSession,
}

/// What came of the one request.
enum Answer {
    /// Snapshot, volume, GiB.
    Made(Vec<(String, String, u32)>),
    Refused {
        status: u16,
        code: String,
        text: String,
    },
    /// No answer: it may have happened.
    Silence,
}

impl Play<'_> {
    /// `dry-run` with `mode` `autonomous`: credentials, and EC2's own word that the call would be allowed.
    pub(super) async fn prove_rights(&mut self) -> i32 {
        let prepared = match self.prepare().await {
            Ok(prepared) => prepared,
            Err((code, text)) => {
                self.error(code, &text);
                return self.end("refused", 206);
            }
        };
        let (stop, text) = match self.call(&prepared, true, Duration::from_secs(10)).await {
            Answer::Refused { code, .. } if code == "DryRunOperation" => return self.end("ok", 0),
            Answer::Refused { status, code, text } => {
                ("snapshot-refused", format!("{status} {code}: {text}"))
            }
            Answer::Made(_) => ("snapshot-refused", "200 no code: ".to_owned()),
            Answer::Silence => (
                "no-client",
                "EC2 does not answer: curl ended with 28".to_owned(),
            ),
        };
        self.error(stop, &text);
        self.end("refused", 206)
    }

    /// Freezes, makes the set, thaws.
    pub(super) async fn snapshot(&mut self, recipe: &str) -> i32 {
        let covered = match self.take(recipe, true) {
            Ok(covered) => covered,
            Err(exit) => return exit,
        };
        self.quiesce(recipe).await;
        let prepared = match self.prepare().await {
            Ok(prepared) => prepared,
            Err((code, text)) => return self.give_up(code, &text),
        };
        if !self.freeze(&covered).await {
            return self.overtaken();
        }
        self.emit("ready", json!({}));
        let Some(hold) = self.own_hold() else {
            return self.overtaken();
        };
        let left = (hold.deadline - self.now()).to_std().unwrap_or_default();
        let patience = left.saturating_sub(RESERVE).max(Duration::from_millis(200));
        self.emit("request", json!({}));
        let asked = self.now();
        let answer = self.call(&prepared, false, patience).await;
        let took = (self.now() - asked).num_milliseconds();
        match answer {
            Answer::Made(set) => {
                self.emit(
                    "answer",
                    json!({"ok": true, "status": 200, "took_ms": took}),
                );
                for (snapshot, volume, gib) in set {
                    let event = json!({"snapshot": snapshot, "volume": volume, "gib": gib});
                    self.emit("snapshot", event);
                }
                let exit = self.report_end(false).await;
                self.holding = false;
                exit
            }
            Answer::Refused { status, code, text } => {
                let event = json!({"ok": false, "status": status, "took_ms": took, "code": code, "text": text});
                self.emit("answer", event);
                self.give_up("snapshot-refused", &format!("{status} {code}: {text}"))
            }
            Answer::Silence => {
                let text = "no answer came; the set may have been made";
                let event = json!({"ok": false, "status": 0, "took_ms": took, "code": "no-answer", "text": text});
                self.emit("answer", event);
                self.give_up("snapshot-unknown", text)
            }
        }
    }

    /// A failure: everything is thawed and unlocked at once.
    fn give_up(&mut self, code: &str, text: &str) -> i32 {
        self.error(code, text);
        self.holding = false;
        let now = self.now();
        let released = self.release(now, super::By::Holder);
        self.over(released.as_ref().is_some_and(|hold| hold.fired));
        let Some(hold) = released else {
            self.error("not-frozen", "another command released this job");
            return self.end("failed", 201);
        };
        let over = if hold.fired { hold.deadline } else { now };
        self.report_release(&hold, over, false);
        if hold.fired {
            self.error("failsafe-fired", "the failsafe thawed before the answer");
            return self.end("failed", 203);
        }
        self.end("failed", 201)
    }

    async fn prepare(&mut self) -> Result<Prepared, (&'static str, String)> {
        self.pause(15, 60).await;
        let lab = self.runtime.lab.get().and_then(crate::WeakLab::upgrade);
        let Some(lab) = lab else {
            let text = "the metadata service does not answer";
            return Err(("no-metadata", text.to_owned()));
        };
        let Some(session) = lab.role_session(&self.invocation.instance) else {
            return Err(("no-credentials", "this instance has no role".to_owned()));
        };
        let until = session.expires.to_rfc3339_opts(SecondsFormat::Secs, true);
        let region = lab.region().to_owned();
        self.emit(
            "prepared",
            json!({"how": "curl", "region": region, "credentials_until": until}),
        );
        Ok(Prepared {
            lab,
            region,
            session,
        })
    }

    /// One request, sent once. What was sent goes on although the command that sent it may be killed.
    async fn call(&mut self, prepared: &Prepared, dry_run: bool, patience: Duration) -> Answer {
        let request = self.request(prepared, dry_run);
        let lab = prepared.lab.clone();
        let clock = self.runtime.clock.clone();
        let way = Duration::from_millis(self.runtime.books().rng.u64(10..40));
        let sent = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(way).await;
                let answer = lab.handle(request).await;
                clock.sleep(way).await;
                answer
            }
        });
        let response = tokio::select! {
            biased;
            response = sent => response,
            () = clock.sleep(patience) => return Answer::Silence,
        };
        let Ok(Ok(response)) = response else {
            return Answer::Silence;
        };
        let status = response.status().as_u16();
        let body = String::from_utf8_lossy(response.body()).into_owned();
        if status != 200 {
            return Answer::Refused {
                status,
                code: element(&body, "Code").unwrap_or_else(|| "Unknown".to_owned()),
                text: element(&body, "Message").unwrap_or_default(),
            };
        }
        let made = body.split("<item>").filter_map(|item| {
            let gib = element(item, "volumeSize")?.parse().ok()?;
            Some((
                element(item, "snapshotId")?,
                element(item, "volumeId")?,
                gib,
            ))
        });
        Answer::Made(made.collect())
    }

    fn request(&self, prepared: &Prepared, dry_run: bool) -> Request<Bytes> {
        let document = &self.invocation.document;
        let recipe = document.strip_prefix("freezeframe-").unwrap_or_default();
        // A recipe of the user's own may run on this document.
        let named = match self.parameter("recipe") {
            "" | "auto" => recipe,
            name => name,
        };
        let instance = &self.invocation.instance;
        let description = format!("freezeframe {named} of {instance} job {}", self.job);
        let tags = [
            ("freezeframe:job", self.job.as_str()),
            ("freezeframe:level", "pending"),
            ("freezeframe:recipe", named),
            ("freezeframe:instance", instance),
            ("freezeframe:set-size", "pending"),
            ("freezeframe:frozen-ms", "pending"),
        ];
        let left_out: Vec<&str> = self.parameter("leaveOut").split(',').collect();
        let boot = if left_out.contains(&"root") {
            "true"
        } else {
            "false"
        };
        let mut form: Vec<(String, &str)> = [
            ("Action", "CreateSnapshots"),
            ("Version", "2016-11-15"),
            ("InstanceSpecification.InstanceId", instance.as_str()),
            ("InstanceSpecification.ExcludeBootVolume", boot),
            ("Description", description.as_str()),
            ("TagSpecification.1.ResourceType", "snapshot"),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if !left_out.contains(&"tags") {
            form.push(("CopyTagsFromSource".to_owned(), "volume"));
        }
        let volumes = left_out.iter().filter(|word| word.starts_with("vol-"));
        for (n, volume) in volumes.enumerate() {
            let name = format!("InstanceSpecification.ExcludeDataVolumeId.{}", n + 1);
            form.push((name, volume));
        }
        for (n, (key, value)) in tags.into_iter().enumerate() {
            let name = format!("TagSpecification.1.Tag.{}", n + 1);
            form.push((format!("{name}.Key"), key));
            form.push((format!("{name}.Value"), value));
        }
        if dry_run {
            form.push(("DryRun".to_owned(), "true"));
        }
        let body: Vec<String> = form
            .iter()
            .map(|(name, value)| {
                let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
                format!("{name}={value}")
            })
            .collect();
        let mut request = Request::new(Bytes::from(body.join("&")));
        *request.method_mut() = http::Method::POST;
        let host = format!("ec2.{}.amazonaws.com", prepared.region);
        let date = self.instance_time().format("%Y%m%dT%H%M%SZ").to_string();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", host.as_str()),
            ("x-amz-date", date.as_str()),
            ("x-amz-security-token", prepared.session.token.as_str()),
        ];
        for (name, value) in headers {
            if let Ok(value) = http::HeaderValue::from_str(value) {
                request.headers_mut().insert(name, value);
            }
        }
        let (key, secret) = (&prepared.session.access_key, &prepared.session.secret);
        sigv4::sign(&mut request, key, secret, &prepared.region, "ec2");
        request
    }
}

/// The text of the first element of a name; the lab's own answers escape nothing that matters here.
fn element(body: &str, name: &str) -> Option<String> {
    let rest = body.split_once(&format!("<{name}>"))?.1;
    rest.split_once('<').map(|(text, _)| text.to_owned())
}
