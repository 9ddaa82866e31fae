//! Witnesses inside an instance: a program that the scripts use is replaced, in that instance only, by one that notes
//! who is alive at that very moment (or fails as told) and then is the real one. What it notes does not come from the scripts.

use std::fs;

use super::lab::Lab;

/// `note WORD`: the moment, and the state of the failsafe at that moment, as /proc has it: pid, session, process group,
/// state, and the files that it has open.
const HEAD: &str = r#"#!/bin/sh
note() {
    read -r UP REST </proc/uptime
    FOUND=none
    for P in /proc/[0-9]*; do
        case $(tr '\0' ' ' <"$P/cmdline" 2>/dev/null) in *' --guard '*) ;; *) continue ;; esac
        read -r LINE <"$P/stat" || continue
        set -- "$1" ${LINE##*) }
        # What the failsafe has just forked is its own image until it becomes another program.
        case $(tr '\0' ' ' <"/proc/$3/cmdline") in *' --guard '*) continue ;; esac
        # One that a freeze has stopped stays so; one that waits for a page does not.
        N=0
        while [ "$2" = D ] && [ "$N" -lt 50 ]; do
            N=$((N + 1))
            sleep 0.02
            read -r LINE <"$P/stat" || break
            set -- "$1" ${LINE##*) }
        done
        OPEN=$(for F in "$P"/fd/*; do readlink "$F"; done | sort -u | tr '\n' ,)
        FOUND="${P#/proc/} $5 $4 $2 $OPEN"
    done
    printf '%s %s %s\n' "${UP%.*}${UP#*.}0" "$1" "$FOUND" >>/run/chronicle
} 2>/dev/null
"#;

/// `fsfreeze`: notes `freeze DEVICE` or `thaw DEVICE`. With `/run/fault` holding `-f DEVICE KIND` (or `-u`): `busy` makes
/// the other owner come first, `unsupported` asks a filesystem that cannot, `broken` fails, `stuck` never comes to it.
const FSFREEZE: &str = r#"
case $1 in -f) DID=freeze ;; -u) DID=thaw ;; *) exec "$REAL" "$@" ;; esac
DEVICE=$(stat -L -c %d "$2")
note "$DID=$DEVICE"
if [ -s /run/fault ]; then
    read -r FLAG WHICH KIND </run/fault
    if [ "$FLAG:$WHICH" = "$1:$DEVICE" ]; then
        case $KIND in
        busy) "$REAL" -f "$2" || exit ;;
        unsupported) exec "$REAL" -f /run/cannot ;;
        stuck) exec sleep 120 ;;
        broken)
            echo "fsfreeze: $2: unfreeze failed: Input/output error" >&2
            exit 1
            ;;
        esac
    fi
fi
exec "$REAL" "$@"
"#;

/// The client of MariaDB: notes when the lock is asked for and when it is given back.
const CLIENT: &str = r#"
case " $* " in *' --execute='*) exec "$REAL" "$@" ;; esac
while IFS= read -r SQL; do
    case $SQL in
    *'READ LOCK'* | *'BACKUP STAGE START'*) note lock ;;
    *'UNLOCK TABLES'* | *'BACKUP STAGE END'*) note unlock ;;
    esac
    printf '%s\n' "$SQL"
done | "$REAL" "$@"
"#;

/// Puts a program of ours in the place of one of the instance's. It finds the real one in `$REAL`.
pub fn replace(lab: &Lab, instance: &str, tool: &str, body: &str) {
    let at = lab.must(instance, &format!("command -v {tool}"));
    lab.must(instance, &format!("cp -a {at} {at}.real"));
    let text = format!("{HEAD}\nREAL={at}.real\n{body}\n");
    let path = lab.path(instance, &at);
    // A link (`sh` for one) is replaced and not followed; a new file is what is executed next.
    fs::remove_file(&path).unwrap();
    fs::write(&path, text).unwrap();
    lab.must(instance, &format!("chmod 755 {at}"));
}

/// The real one again.
pub fn restore(lab: &Lab, instance: &str, tool: &str) {
    let at = lab.must(instance, &format!("command -v {tool}"));
    lab.must(instance, &format!("mv {at}.real {at}"));
}

/// Witnesses of every freeze and thaw, and the place for a fault.
pub fn freezes(lab: &Lab, instance: &str) {
    lab.must(
        instance,
        "mkdir -p /run/cannot && mount -t tmpfs none /run/cannot",
    );
    replace(lab, instance, "fsfreeze", FSFREEZE);
}

/// Witness of the lock of MariaDB.
pub fn locks(lab: &Lab, instance: &str) {
    replace(lab, instance, "mariadb", CLIENT);
}

/// Sets the fault (see [`FSFREEZE`]) on the filesystem mounted here.
pub fn fault(lab: &Lab, instance: &str, flag: &str, mount: &str, kind: &str) {
    let device = device(lab, instance, mount);
    fs::write(
        lab.path(instance, "/run/fault"),
        format!("{flag} {device} {kind}\n"),
    )
    .unwrap();
}

pub fn no_fault(lab: &Lab, instance: &str) {
    fs::remove_file(lab.path(instance, "/run/fault")).unwrap();
}

/// Number of the device that is mounted here, as the witnesses note it.
pub fn device(lab: &Lab, instance: &str, mount: &str) -> String {
    lab.must(instance, &format!("stat -c %d {mount}"))
}

/// The failsafe as a witness saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    pub pid: u32,
    session: u32,
    group: u32,
    state: String,
    open: Vec<String>,
}

impl Guard {
    /// Nothing that ends the command ends it, nothing that freezes stops it, and nobody waits for it to let go of a file.
    pub fn is_detached(&self, inherited: &[String]) {
        assert_eq!((self.session, self.group), (self.pid, self.pid), "{self:?}");
        assert!(matches!(self.state.as_str(), "S" | "R"), "{self:?}");
        for file in &self.open {
            assert!(
                file == "/dev/null"
                    || file.starts_with("/run/freezeframe/")
                    // It looks there for the holder and the time, again and again.
                    || file.starts_with("/proc/")
                    || inherited.contains(file),
                "it holds {file}: {self:?}"
            );
        }
    }
}

/// Files that every process of the instance has open, because whoever started this test had.
pub fn inherited(lab: &Lab, instance: &str) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{}/fd", lab.init(instance))).unwrap();
    open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// One thing that a witness saw.
#[derive(Debug, Clone)]
pub struct Seen {
    /// By the clock of [`super::lab::uptime_ms`].
    pub ms: u64,
    pub what: String,
    pub guard: Option<Guard>,
}

/// Everything that the witnesses saw since the last time, in order.
pub fn seen(lab: &Lab, instance: &str) -> Vec<Seen> {
    let path = lab.path(instance, "/run/chronicle");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Seen {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    Seen {
        ms: words[0].parse().unwrap(),
        what: words[1].to_owned(),
        guard: (words[2] != "none").then(|| Guard {
            pid: number(2),
            session: number(3),
            group: number(4),
            state: words[5].to_owned(),
            open: words[6]
                .split(',')
                .filter(|file| !file.is_empty())
                .map(str::to_owned)
                .collect(),
        }),
    }
}
