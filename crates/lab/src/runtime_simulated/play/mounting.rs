//! Plays linux-mount, which brings one restored volume up.

use serde_json::json;

use super::super::state::Mounted;
use super::{DOCUMENT_VERSION, Play};

impl Play<'_> {
    pub(super) async fn mount_document(&mut self) -> i32 {
        let (command, volume, at) = (
            self.parameter("command").to_owned(),
            self.parameter("volumeId").to_owned(),
            self.parameter("mountPoint").to_owned(),
        );
        let hello = json!({"recipe": "linux-mount", "version": DOCUMENT_VERSION, "job": self.job, "command": command});
        self.emit("hello", hello);
        self.pause(80, 200).await;
        let Some(device) = self.machine(|machine| machine.device(&volume).map(str::to_owned))
        else {
            self.error(
                "no-volume",
                &format!("no device of {volume} on this instance"),
            );
            return self.end("refused", 206);
        };
        let mounted = self.machine(|machine| {
            machine
                .mounts
                .iter()
                .find(|mounted| mounted.volume == volume)
                .cloned()
        });
        let refusal = match (command.as_str(), &mounted) {
            ("mount", Some(mounted)) => Some((
                "already-mounted",
                format!("{volume} is already mounted at {}", mounted.mount),
            )),
            ("umount", None) => Some(("not-a-mount", format!("{volume} is not mounted"))),
            ("umount", Some(mounted)) if mounted.mount != at => {
                Some(("not-a-mount", format!("{volume} is mounted elsewhere")))
            }
            ("mount", None)
                if self.machine(|machine| {
                    machine.mounts.iter().any(|mounted| mounted.mount == at)
                }) =>
            {
                Some((
                    "mount-point-busy",
                    format!("something is mounted at {at} already"),
                ))
            }
            _ => None,
        };
        if let Some((code, text)) = refusal {
            self.error(code, &text);
            return self.end("refused", 206);
        }
        match (command.as_str(), mounted) {
            ("mount", _) => {
                self.emit("device", json!({"dev": device, "volume": volume}));
                let Some(fs) = self
                    .runtime
                    .books()
                    .filesystems
                    .get(&volume)
                    .cloned()
                    .flatten()
                else {
                    self.error(
                        "unsupported-fs",
                        &format!("no single filesystem found on {device}"),
                    );
                    return self.end("refused", 206);
                };
                self.pause(60, 400).await;
                let options = if fs == "xfs" { "rw,nouuid" } else { "rw" };
                let new = Mounted {
                    mount: at.clone(),
                    fs: fs.clone(),
                    volume: volume.clone(),
                    device: device.clone(),
                };
                self.machine(|machine| machine.mounts.push(new));
                self.emit("mounted", json!({"mount": at, "fs": fs, "options": options, "dev": device, "volume": volume}));
            }
            ("umount", _) => {
                self.pause(20, 120).await;
                self.machine(|machine| machine.mounts.retain(|mounted| mounted.volume != volume));
                self.emit(
                    "unmounted",
                    json!({"mount": at, "dev": device, "volume": volume}),
                );
            }
            (_, mounted) => {
                self.emit("device", json!({"dev": device, "volume": volume}));
                if let Some(mounted) = mounted {
                    self.emit("mounted", json!({"mount": mounted.mount, "fs": mounted.fs, "options": "rw", "dev": device, "volume": volume}));
                }
            }
        }
        self.end("ok", 0)
    }
}
