//! The command line. Stable: scripts and cron rely on it.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::values;
use crate::domain::filter::RowKind;
use crate::domain::ids::{JobId, SnapshotId, VolumeId};
use crate::domain::job::OnFailure;
use crate::domain::mode::AskedMode;
use crate::domain::restore;
use crate::domain::retention::{Age, TagPair};
use crate::domain::set_plan::SetOptions;
use crate::ops::job::targets::Named;

/// Take application-consistent EBS snapshots, with evidence: a console, and commands for cron.
///
/// Without a command the console opens. A set is all snapshots that one job took of one instance in one CreateSnapshots
/// call; the journal is this machine's record of jobs, calls and evidence. To try everything without an AWS account: freezeframe --lab
#[derive(Debug, Parser)]
#[command(name = "freezeframe", version, max_term_width = 100)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command; the console without one.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Work on the embedded AWS instead of a real account; WORLD is a TOML file (default: the built-in fleet)
    #[arg(long, global = true, value_name = "WORLD", num_args = 0..=1, default_missing_value = "default", require_equals = true)]
    pub lab: Option<String>,
    /// How the lab runs commands; `real` needs root on Linux
    #[arg(long, global = true, value_enum, default_value = "simulated")]
    pub runtime: RuntimeKind,
    /// Seed of the lab's world
    #[arg(long, global = true, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Faults that the lab injects: a plan's name (agents, expiring, forgetful, lossy, slow, throttled) or a TOML file
    #[arg(long, global = true, value_name = "PLAN")]
    pub faults: Option<String>,
    /// Directory for the volumes of `--runtime real`
    #[arg(long, global = true, value_name = "DIR")]
    pub lab_dir: Option<std::path::PathBuf>,
    /// Profile of the shared AWS configuration
    #[arg(long, global = true, value_name = "P", add = ArgValueCandidates::new(values::profiles))]
    pub profile: Option<String>,
    /// AWS region
    #[arg(long, global = true, value_name = "R", add = ArgValueCandidates::new(values::regions))]
    pub region: Option<String>,
    /// Endpoint URL for every AWS service, such as that of `freezeframe lab serve`
    #[arg(long, global = true, value_name = "U")]
    pub endpoint_url: Option<String>,
    /// Refuse every action that would change something
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    /// Colour theme: a name in themes/ or a TOML file
    #[arg(long, global = true, value_name = "NAME")]
    pub theme: Option<String>,
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Format,
    /// What is written to the log in the state directory: error, warn, info, debug or trace of freezeframe, or a filter
    /// such as freezeframe=debug,aws_smithy_runtime=info
    #[arg(long, global = true, default_value = "info", value_name = "FILTER")]
    pub log_level: super::log::LogFilter,
}

/// What the lab's instances are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeKind {
    /// Needs no privileges; the lab imitates what the SSM documents do.
    Simulated,
    /// Runs the commands on loop devices in namespaces. Needs root.
    Real,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Jsonl,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List instances, volumes, snapshots, sets, jobs, prunes or restores
    ///
    /// The state of a job is its phase while a process works on it, and `done` at its end. Other states: `copying`: the
    /// job is thawed and labelled, and AWS finishes the copy; `abandoned`: its process is gone (`jobs resume` thaws and
    /// labels it); `labels-pending`: its labels could not be written (`jobs resume` writes them); `thaw-unconfirmed`:
    /// look at the instance (`jobs abort` thaws it again, `jobs thawed` records that you saw it thawed).
    List {
        /// What to list
        #[arg(value_enum)]
        what: Listing,
        /// Only rows that match, such as 'tag:Env=prod state!=stopped web-*'; docs/filters.md has the keys of each list
        #[arg(long, default_value = "", value_name = "EXPR")]
        filter: String,
        /// Only sets, and snapshots of sets, whose job is in this machine's journal
        #[arg(long)]
        mine: bool,
    },
    /// Take consistent snapshots
    Snapshot(SnapshotArgs),
    /// Inspect, resume or abort jobs that an earlier process did not finish
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Restore a set to new volumes, next to the originals
    #[command(subcommand)]
    Restore(RestoreCommand),
    /// Delete sets that a policy does not keep
    Prune(PruneArgs),
    /// Show backup metrics of an instance
    Metrics {
        /// The instance, by id or by a Name that only it has
        #[arg(long, value_name = "ID|NAME")]
        instance: Named,
        /// Number of days to show, at most 455 (what CloudWatch keeps)
        #[arg(long, default_value_t = 30, value_parser = |text: &str| number(text, 1, 455))]
        days: u32,
    },
    /// Prepare an account: install the SSM documents
    #[command(subcommand)]
    Setup(SetupCommand),
    /// Show the configuration, and where each value comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Serve the embedded AWS to other programs
    #[command(subcommand)]
    Lab(LabCommand),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man {
        /// Write one page for each command into this directory, instead of printing
        #[arg(long, value_name = "DIRECTORY")]
        to: Option<std::path::PathBuf>,
    },
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// EC2 instances with their agents
    Instances,
    /// EBS volumes
    Volumes,
    /// EBS snapshots that the account owns
    Snapshots,
    /// Sets that freezeframe made
    Sets,
    /// Jobs in this machine's journal
    Jobs,
    /// Prunes in this machine's journal
    Prunes,
    /// Restores in this machine's journal
    Restores,
}

impl Listing {
    /// What a filter chooses among.
    pub fn rows(self) -> RowKind {
        match self {
            Self::Instances => RowKind::Instances,
            Self::Volumes => RowKind::Volumes,
            Self::Snapshots => RowKind::Snapshots,
            Self::Sets => RowKind::Sets,
            Self::Jobs => RowKind::Jobs,
            Self::Prunes | Self::Restores => RowKind::Records,
        }
    }
}

/// `snapshot`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("target").required(true).multiple(true).args(["instance", "tag"])))]
pub struct SnapshotArgs {
    /// Instance, by id or by a Name that only it has; may be repeated
    #[arg(long, value_name = "ID|NAME", num_args = 1..)]
    pub instance: Vec<Named>,
    /// Only instances with this tag, KEY=VALUE; if repeated, every tag must match; with --instance, selects among those
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag_pair)]
    pub tag: Vec<(String, String)>,
    /// Recipe for every instance, instead of the tag ConsistentSnapshot
    #[arg(long, value_name = "R", add = ArgValueCandidates::new(values::recipes))]
    pub recipe: Option<String>,
    /// Third-party SSM document instead of a recipe; it must keep Data Lifecycle Manager's contract for pre and post scripts
    #[arg(long, value_name = "NAME", conflicts_with = "recipe")]
    pub document: Option<String>,
    /// Who calls CreateSnapshots: autonomous (the instance, with its own role), coordinated (freezeframe), or auto (the
    /// instance, where its dry run proves that its role may call); default: the configuration's, else auto
    #[arg(long, value_parser = one_of::<AskedMode>(&["auto", "coordinated", "autonomous"]))]
    pub mode: Option<AskedMode>,
    /// Freeze / too, last, and thaw it first; an instance that cannot use autonomous mode is refused
    #[arg(long)]
    pub freeze_root: bool,
    /// Parameter of the document, NAME=VALUE; overrides the recipe's; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameter: Vec<(String, String)>,
    /// Stop the database instead of locking it, where the recipe supports it (as --parameter stop=yes)
    #[arg(long)]
    pub stop: bool,
    /// Longest time that an instance may stay frozen, such as 30s; then its failsafe thaws
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub max_freeze: Option<u32>,
    /// Freeze only this mount; may be repeated; default: every mount that can be frozen
    #[arg(long, value_name = "PATH", value_parser = mount_path)]
    pub mount: Vec<String>,
    /// Leave root volumes out of the sets
    #[arg(long, conflicts_with = "freeze_root")]
    pub exclude_root: bool,
    /// Leave this volume out of its instance's set; may be repeated. The tag freezeframe:exclude on a volume does the same.
    /// A job is refused when its database, or a mount named with --mount, lies on a volume that is left out
    #[arg(long, value_name = "ID")]
    pub exclude_volume: Vec<VolumeId>,
    /// Tag to add to every snapshot, beside the tags of its volume; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = own_tag)]
    pub set_tag: Vec<(String, String)>,
    /// What to do when the lock or the freeze fails: take no snapshot (skip), or a crash-consistent set
    #[arg(long, value_parser = one_of::<OnFailure>(&["skip", "crash-consistent"]))]
    pub on_failure: Option<OnFailure>,
    /// Number of instances that run at once, 1 to 200 (default 10)
    #[arg(long, value_name = "N", value_parser = |text: &str| number(text, 1, 200))]
    pub at_once: Option<u32>,
    /// Number of further attempts on an instance on which the failed one changed nothing, 0 to 10 (default 0)
    #[arg(long, value_name = "N", value_parser = |text: &str| number(text, 0, 10))]
    pub retries: Option<u32>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What a restore is made of.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The set, by its job id (see `list sets`)
    #[arg(long, value_name = "ID")]
    pub set: JobId,
    /// Only this snapshot of the set; may be repeated
    #[arg(long, value_name = "ID")]
    pub snapshot: Vec<SnapshotId>,
    /// Instance to attach to, by id or by a Name that only it has
    #[arg(long, value_name = "ID|NAME")]
    pub instance: Named,
    /// Device name of the first volume, such as /dev/sdk; the others follow; default: the first free name
    #[arg(long, value_name = "DEV")]
    pub device: Option<String>,
    /// Volume type; default: the source volume's, now or as recorded with the set. This flag and the next four apply to
    /// every volume of the restore; to choose for one volume, restore it alone with --snapshot
    #[arg(long = "type", value_name = "TYPE", value_parser = PossibleValuesParser::new(restore::TYPES))]
    pub volume_type: Option<String>,
    /// Provisioned IOPS (gp3, io1, io2); the default is the source volume's
    #[arg(long, value_name = "N", value_parser = |text: &str| number(text, 1, 256_000))]
    pub iops: Option<u32>,
    /// Provisioned throughput in MiB/s (gp3); the default is the source volume's
    #[arg(long, value_name = "MIBS", value_parser = |text: &str| number(text, 1, 2_000))]
    pub throughput: Option<u32>,
    /// Encrypt with this key (id, alias/NAME or ARN); the default is the snapshot's
    #[arg(long, value_name = "KEY")]
    pub kms_key: Option<String>,
    /// Encrypt volumes of unencrypted snapshots too, with the account's default key
    #[arg(long)]
    pub encrypted: bool,
    /// Copy this tag of the source volume to the new volume; may be repeated. No tag is copied by default, because backup
    /// policies select volumes by tags
    #[arg(long, value_name = "KEY")]
    pub copy_tag: Vec<String>,
    /// Copy all tags of the source volume
    #[arg(long)]
    pub copy_all_tags: bool,
    /// Include the new volumes in later sets of the instance; by default they are tagged freezeframe:exclude
    #[arg(long)]
    pub in_sets: bool,
    /// Mount the new volumes on the instance, below this directory
    #[arg(long, value_name = "DIR", value_parser = mount_path)]
    pub mount_under: Option<String>,
}

/// `restore`.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Show every call that a restore would make
    Plan(RestoreArgs),
    /// Make the volumes, attach and mount them
    Run {
        /// What to restore, and where.
        #[command(flatten)]
        restore: RestoreArgs,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// `jobs`.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Thaw and finish every job that an earlier process left open
    ///
    /// Every start of the console and of `snapshot` does the same first. It thaws, finds the set, and labels it by what
    /// can still be proven. It does not wait for AWS to finish the copy: any later start records the job's end and
    /// publishes its metrics; with --wait this command does. Exit code 3: no job was open.
    Resume {
        /// Wait for the end of every job, until AWS has copied its set
        #[arg(long)]
        wait: bool,
    },
    /// Thaw the instances of open jobs now, whatever process works on them
    #[command(group = clap::ArgGroup::new("which").args(["job", "all"]).required(true))]
    Abort {
        /// This job; may be repeated
        #[arg(long, value_name = "ID")]
        job: Vec<JobId>,
        /// Every job of this account and region that is open in the journal
        #[arg(long)]
        all: bool,
    },
    /// Record that you looked at the instance, and that nothing of the job is frozen there
    ///
    /// For a job that ended with its thaw unconfirmed, where no thaw can prove it: a third-party document that only says
    /// "not frozen", or an instance that is gone. Nothing is sent to the instance. The journal keeps your ARN; the levels
    /// of the set do not change.
    Thawed {
        /// This job; may be repeated
        #[arg(long, value_name = "ID", required = true)]
        job: Vec<JobId>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Show sets that are still `pending`, and restored volumes, that nothing in the journal accounts for
    Orphans {
        /// Label these sets `crash`; this command deletes nothing
        #[arg(long)]
        label: bool,
        /// Do not ask for confirmation
        #[arg(long, requires = "label")]
        yes: bool,
    },
    /// Rename a damaged journal, so that the next start makes a new one
    ///
    /// A sound journal is moved too, unless a job in it is open or has an unconfirmed thaw. The evidence of its sets is not
    /// shown until the file is moved back (the command for that is printed).
    SetAside {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// `prune`.
///
/// Proven sets are counted alone; unproven ones are kept by the same rules among themselves, and so are failed ones.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// A policy of the configuration file
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(values::policies), conflicts_with_all = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "drop_unproven_after"])]
    pub policy: Option<String>,
    /// Keep the newest N sets of each volume
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,
    /// Keep the newest set of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<u32>,
    /// Keep the newest set of each of the last N days that have one
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u32>,
    /// Keep the newest set of each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest set of each of the last N months that have one
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u32>,
    /// Keep the newest set of each of the last N years that have one
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u32>,
    /// Delete unproven and failed sets older than TIME (12h, 7d, 2w), whatever rule keeps them, where each of their
    /// volumes has a newer proven set
    #[arg(long, value_name = "TIME")]
    pub drop_unproven_after: Option<Age>,
    /// Only sets of this instance, by id or by a Name that only it has; may be repeated
    #[arg(long, value_name = "ID|NAME", num_args = 1.., value_parser = said)]
    pub instance: Vec<String>,
    /// Only sets of instances with this tag, KEY=VALUE; if repeated, every tag must match; with --instance, selects among
    /// those. Where the instance is gone, the tags of its snapshots are compared
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<TagPair>,
    /// Only sets that match, such as 'tag:Env=dev !name=db*'; takes the keys of sets and of instances (docs/filters.md)
    #[arg(long, value_name = "EXPR", value_parser = said)]
    pub filter: Option<String>,
    /// Show the plan, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Delete without asking
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
}

/// `setup`.
#[derive(Debug, Subcommand)]
pub enum SetupCommand {
    /// Install freezeframe's SSM documents
    Documents {
        /// Show what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every value, where it came from, and whose credentials act; calls nothing at AWS
    Show,
}

/// `lab`.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Serve the lab on a loopback port for any AWS client
    Serve {
        /// World: a TOML file, or `default`
        #[arg(long, default_value = "default", value_name = "W")]
        world: String,
        /// Port; 0 takes a free one and prints it
        #[arg(long, default_value_t = 4566, value_name = "N")]
        port: u16,
    },
}

/// A value by one of its names; another is refused with the list of them.
fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse::<T>())
}

/// What must say something: left empty by a slip it would stand for everything.
fn said(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty; leave the option out for every instance".to_owned());
    }
    Ok(text.to_owned())
}

fn tag_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as Env=prod".to_owned()),
    }
}

/// A tag that the operator adds.
fn own_tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "expected KEY=VALUE, such as CostCenter=4711".to_owned())?;
    SetOptions::check_tag(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as lockWaitSeconds=10".to_owned()),
    }
}

/// A whole number between these two, both among them.
fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse::<u32>().ok();
    number
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| format!("expected a whole number from {least} to {most}"))
}

/// `30`, `30s` or `2m`, from 1 to 999 seconds.
fn seconds(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    digits
        .parse::<u32>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .filter(|n| (1..=999).contains(n))
        .ok_or_else(|| "expected 1s to 999s, such as 30s or 2m".to_owned())
}

/// What the documents accept for a path (docs/line-protocol.md).
fn mount_path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._@+-".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected an absolute path of letters, digits and / . _ @ + -".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lab_takes_a_world_only_with_equals() {
        let cli = Cli::try_parse_from(["freezeframe", "--lab", "list", "instances"]).unwrap();
        assert_eq!(cli.global.lab.as_deref(), Some("default"));
        assert!(matches!(cli.command, Some(Command::List { .. })));
        let cli = Cli::try_parse_from(["freezeframe", "--lab=w.toml"]).unwrap();
        assert_eq!(cli.global.lab.as_deref(), Some("w.toml"));
    }

    #[test]
    fn a_snapshot_names_its_mode_and_its_documents_parameters() {
        let args = |more: &[&str]| {
            let base = [
                "freezeframe",
                "snapshot",
                "--instance",
                "i-0123456789abcdef0",
            ];
            match Cli::try_parse_from(base.iter().chain(more)).map(|cli| cli.command) {
                Ok(Some(Command::Snapshot(args))) => Some(args),
                _ => None,
            }
        };
        assert_eq!(args(&[]).unwrap().mode, None, "the configuration decides");
        let given = args(&[
            "--mode",
            "autonomous",
            "--freeze-root",
            "--stop",
            "--parameter",
            "lockMethod=ftwrl",
            "--parameter",
            "x=a=b",
        ])
        .unwrap();
        assert_eq!(given.mode, Some(AskedMode::Autonomous));
        assert!(given.freeze_root && given.stop);
        assert_eq!(given.parameter[1], ("x".to_owned(), "a=b".to_owned()));
        assert!(args(&["--mode", "both"]).is_none());
        assert!(args(&["--parameter", "=x"]).is_none());
    }

    #[test]
    fn times_and_paths_are_bounded() {
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("2m"), Ok(120));
        for bad in ["0", "1000", "s", "-1", "1h", "99999999999m"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(
            (number("1", 1, 200), number("200", 1, 200)),
            (Ok(1), Ok(200))
        );
        for bad in ["0", "201", "-1", "x", "1.5"] {
            let said = number(bad, 1, 200).unwrap_err();
            assert!(said.ends_with("from 1 to 200"), "{said}");
        }
        assert!(mount_path("/data/x-1").is_ok());
        for bad in ["data", "/da ta", "/a;b", "/$(id)", "/a\n"] {
            assert!(mount_path(bad).is_err(), "{bad}");
        }
    }
}
