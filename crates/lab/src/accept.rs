//! What each operation of the lab takes: every member by its name on the wire, with its kind. A member that is not
//! named here is refused, misspelt ones and those of AWS that the lab has nothing for alike: nothing is ignored.
//!
//! One line per operation. `N` stands for the number of a list's element and `*` for the key of a map; `:KIND` follows
//! a name: nothing is text of up to 255 characters, a number is text of up to so many, `flag`, `whole`, `LOW-HIGH` (a
//! whole number), `real`, `time`, or words that are split by `|`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::wire::AppError;
use super::wire::query::Params;

const EC2: &str = "
AttachVolume Device InstanceId VolumeId DryRun:flag
CreateSnapshot VolumeId Description Location:regional +tagspec DryRun:flag
CreateSnapshots InstanceSpecification.InstanceId InstanceSpecification.ExcludeBootVolume:flag InstanceSpecification.ExcludeDataVolumeId.N Description CopyTagsFromSource:volume Location:regional +tagspec DryRun:flag
CreateTags ResourceId.N Tag.N.Key:1024 Tag.N.Value:1024 DryRun:flag
CreateVolume AvailabilityZone AvailabilityZoneId Encrypted:flag Iops:whole KmsKeyId Size:whole SnapshotId VolumeType MultiAttachEnabled:flag Throughput:whole ClientToken:64 +tagspec DryRun:flag
DeleteSnapshot SnapshotId DryRun:flag
DeleteTags ResourceId.N Tag.N.Key:1024 Tag.N.Value:1024 DryRun:flag
DeleteVolume VolumeId DryRun:flag
DescribeAvailabilityZones ZoneName.N ZoneId.N AllAvailabilityZones:flag +filter DryRun:flag
DescribeFastSnapshotRestores +filter +page DryRun:flag
DescribeImages ImageId.N Owner.N IncludeDeprecated:flag IncludeDisabled:flag +filter +page DryRun:flag
DescribeInstanceAttribute InstanceId Attribute DryRun:flag
DescribeInstanceStatus InstanceId.N IncludeAllInstances:flag +filter +page DryRun:flag
DescribeInstances InstanceId.N +filter +page DryRun:flag
DescribeLockedSnapshots SnapshotId.N +filter +page DryRun:flag
DescribeRegions RegionName.N AllRegions:flag +filter DryRun:flag
DescribeSnapshotAttribute SnapshotId Attribute DryRun:flag
DescribeSnapshots SnapshotId.N Owner.N RestorableBy.N +filter +page DryRun:flag
DescribeTags +filter +page DryRun:flag
DescribeVolumes VolumeId.N +filter +page DryRun:flag
DetachVolume VolumeId InstanceId Device Force:flag DryRun:flag
StartInstances InstanceId.N DryRun:flag
StopInstances InstanceId.N Force:flag DryRun:flag
";

const SSM: &str = "
CancelCommand CommandId InstanceIds.N
CreateDocument Name Content:1000000 VersionName:128 DocumentType DocumentFormat Tags.N.Key:128 Tags.N.Value:256
DeleteDocument Name DocumentVersion VersionName:128
DescribeDocument Name DocumentVersion VersionName:128
DescribeInstanceInformation Filters.N.Key Filters.N.Values.N InstanceInformationFilterList.N.key InstanceInformationFilterList.N.valueSet.N MaxResults:5-50 NextToken
GetCommandInvocation CommandId InstanceId PluginName
GetConnectionStatus Target:400
GetDocument Name DocumentVersion VersionName:128 DocumentFormat:JSON
ListCommandInvocations CommandId InstanceId MaxResults:1-50 NextToken Filters.N.key Filters.N.value Details:flag
ListCommands CommandId InstanceId MaxResults:1-50 NextToken Filters.N.key Filters.N.value
ListDocuments Filters.N.Key Filters.N.Values.N MaxResults:1-50 NextToken
SendCommand InstanceIds.N Targets.N.Key Targets.N.Values.N DocumentName DocumentVersion DocumentHash DocumentHashType:Sha256|Sha1 TimeoutSeconds:30-2592000 Comment:100 Parameters.*.N:100000 MaxConcurrency:7 MaxErrors:7
UpdateDocument Name Content:1000000 VersionName:128 DocumentVersion DocumentFormat
UpdateDocumentDefaultVersion Name DocumentVersion
";

const CLOUDWATCH: &str = "
DescribeAlarms AlarmNames.N AlarmNamePrefix AlarmTypes.N:CompositeAlarm|MetricAlarm StateValue:OK|ALARM|INSUFFICIENT_DATA MaxRecords:1-100 NextToken
GetMetricData MetricDataQueries.N.Id MetricDataQueries.N.Expression:2048 MetricDataQueries.N.Label:2048 MetricDataQueries.N.ReturnData:flag MetricDataQueries.N.MetricStat.Metric.Namespace MetricDataQueries.N.MetricStat.Metric.MetricName MetricDataQueries.N.MetricStat.Metric.Dimensions.N.Name MetricDataQueries.N.MetricStat.Metric.Dimensions.N.Value:1024 MetricDataQueries.N.MetricStat.Period:whole MetricDataQueries.N.MetricStat.Stat MetricDataQueries.N.MetricStat.Unit StartTime:time EndTime:time NextToken ScanBy MaxDatapoints:1-100800
GetMetricStatistics Namespace MetricName Dimensions.N.Name Dimensions.N.Value:1024 StartTime:time EndTime:time Period:whole Statistics.N ExtendedStatistics.N Unit
ListMetrics Namespace MetricName Dimensions.N.Name Dimensions.N.Value:1024 NextToken RecentlyActive
PutMetricData Namespace MetricData.N.MetricName MetricData.N.Dimensions.N.Name MetricData.N.Dimensions.N.Value:1024 MetricData.N.Timestamp:time MetricData.N.Value:real MetricData.N.StatisticValues.SampleCount:real MetricData.N.StatisticValues.Sum:real MetricData.N.StatisticValues.Minimum:real MetricData.N.StatisticValues.Maximum:real MetricData.N.Values.N:real MetricData.N.Counts.N:real MetricData.N.Unit MetricData.N.StorageResolution:whole
";

const STS: &str = "
AssumeRole RoleArn:2048 RoleSessionName:1024 DurationSeconds:900-43200 ExternalId:2048 SerialNumber:1024 TokenCode SourceIdentity
GetCallerIdentity
";

/// Words that stand for several members in the tables.
const SHORT: [(&str, &str); 3] = [
    ("+filter", "Filter.N.Name Filter.N.Value.N:1024"),
    ("+page", "MaxResults:whole NextToken:4096"),
    (
        "+tagspec",
        "TagSpecification.N.ResourceType TagSpecification.N.Tag.N.Key:1024 TagSpecification.N.Tag.N.Value:1024",
    ),
];

/// What a member may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Text(usize),
    Flag,
    Whole(i64, i64),
    Real,
    Time,
    Words(Vec<&'static str>),
}

impl Kind {
    fn parse(text: &'static str) -> Self {
        if let Ok(most) = text.parse() {
            return Self::Text(most);
        }
        let range = text
            .split_once('-')
            .and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
        match (text, range) {
            (_, Some((low, high))) => Self::Whole(low, high),
            ("flag", _) => Self::Flag,
            ("whole", _) => Self::Whole(i64::MIN, i64::MAX),
            ("real", _) => Self::Real,
            ("time", _) => Self::Time,
            _ => Self::Words(text.split('|').collect()),
        }
    }
}

#[derive(Debug)]
struct Member {
    path: Vec<&'static str>,
    kind: Kind,
}

type Operations = BTreeMap<&'static str, Vec<Member>>;

fn member(word: &'static str) -> Member {
    let (path, kind) = match word.split_once(':') {
        Some((path, kind)) => (path, Kind::parse(kind)),
        None => (word, Kind::Text(255)),
    };
    Member {
        path: path.split('.').collect(),
        kind,
    }
}

fn parse(table: &'static str) -> Operations {
    let lines = table.lines().filter(|line| !line.is_empty());
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let operation = words.next()?;
            let long = |word: &'static str| {
                let stands_for = SHORT.iter().find(|(short, _)| *short == word);
                stands_for.map_or(word, |(_, long)| long).split(' ')
            };
            Some((operation, words.flat_map(long).map(member).collect()))
        })
        .collect()
}

fn operations(service: &str) -> Option<&'static Operations> {
    static ALL: OnceLock<BTreeMap<&'static str, Operations>> = OnceLock::new();
    let tables = [
        ("ec2", EC2),
        ("ssm", SSM),
        ("monitoring", CLOUDWATCH),
        ("sts", STS),
    ];
    let all = ALL.get_or_init(|| {
        let parsed = tables.into_iter().map(|(name, table)| (name, parse(table)));
        parsed.collect()
    });
    all.get(service)
}

/// Every operation of a service that the lab has.
pub fn known(service: &str) -> Vec<&'static str> {
    operations(service).map_or_else(Vec::new, |all| all.keys().copied().collect())
}

/// How a service speaks of what it refuses.
struct Words {
    unknown: &'static str,
    value: &'static str,
    /// A member of another type than the model says, where a protocol has types.
    kind: &'static str,
}

fn words(service: &str) -> Words {
    let (unknown, value, kind) = match service {
        "ssm" => (
            "ValidationException",
            "ValidationException",
            "SerializationException",
        ),
        "monitoring" => (
            "InvalidParameterValue",
            "InvalidParameterValue",
            "SerializationException",
        ),
        "sts" => ("UnknownParameter", "ValidationError", "ValidationError"),
        _ => (
            "UnknownParameter",
            "InvalidParameterValue",
            "InvalidParameterValue",
        ),
    };
    Words {
        unknown,
        value,
        kind,
    }
}

impl Words {
    fn unknown(&self, name: &str) -> AppError {
        AppError::new(
            self.unknown,
            format!("The parameter {} is not recognized", shown(name)),
        )
    }

    fn value(&self, name: &str, value: &str, expected: &str) -> AppError {
        let (name, value) = (shown(name), shown(value));
        AppError::new(
            self.value,
            format!("Value ({value}) for parameter {name} is invalid. Expected {expected}."),
        )
    }

    fn text(&self, name: &str, kind: &Kind, text: &str) -> Result<(), AppError> {
        let expected = match kind {
            Kind::Text(most) if text.chars().count() > *most => {
                format!("at most {most} characters")
            }
            Kind::Flag if !matches!(text, "" | "true" | "True" | "1" | "false" | "False" | "0") => {
                "'true' or 'false'".to_owned()
            }
            Kind::Whole(low, high) if !text.is_empty() => match text.parse::<i64>() {
                Ok(number) if (*low..=*high).contains(&number) => return Ok(()),
                Ok(_) => format!("{low} to {high}"),
                Err(_) => "an integer".to_owned(),
            },
            Kind::Words(all) if !text.is_empty() && !all.contains(&text) => {
                format!("one of {}", all.join(", "))
            }
            _ => return Ok(()),
        };
        Err(self.value(name, text, &expected))
    }

    fn json(&self, name: &str, kind: &Kind, value: &Value) -> Result<(), AppError> {
        let wrong = |expected: &str| {
            let name = shown(name);
            Err(AppError::new(
                self.kind,
                format!("The member {name} must be {expected}"),
            ))
        };
        match (kind, value) {
            (_, Value::Array(_) | Value::Object(_)) => wrong("a single value"),
            (Kind::Text(_) | Kind::Words(_), Value::String(text)) => self.text(name, kind, text),
            (Kind::Text(_) | Kind::Words(_), _) => wrong("a string"),
            (Kind::Flag, Value::Bool(_)) => Ok(()),
            (Kind::Flag, _) => wrong("true or false"),
            (Kind::Whole(..), Value::Number(number)) => match number.as_i64() {
                Some(number) => self.text(name, kind, &number.to_string()),
                None => wrong("an integer"),
            },
            (Kind::Whole(..), _) => wrong("an integer"),
            // What is no number or no time the service says itself, also of those that came as text.
            (Kind::Real | Kind::Time, Value::Bool(_)) => wrong("a number"),
            (Kind::Real | Kind::Time, _) => Ok(()),
        }
    }
}

/// As much of a name or a value as an error shows.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Checks a call of the query protocol. `element` is what stands before an element's number: `member` for awsQuery.
///
/// # Errors
/// The service's codes for a parameter that it does not know and for a value that it does not take.
pub fn query(
    service: &str,
    operation: &str,
    params: &Params,
    element: Option<&str>,
) -> Result<(), AppError> {
    let Some(members) = operations(service).and_then(|all| all.get(operation)) else {
        return Ok(());
    };
    let words = words(service);
    for (name, value) in params.iter().filter(|(name, _)| !about_the_call(name)) {
        match members
            .iter()
            .find(|member| is_named(&member.path, name, element))
        {
            Some(member) => words.text(name, &member.kind, value)?,
            None => return Err(words.unknown(name)),
        }
    }
    Ok(())
}

/// What a request says beside the operation's own input.
fn about_the_call(name: &str) -> bool {
    matches!(name, "Action" | "Version" | "AWSAccessKeyId") || name.starts_with("X-Amz-")
}

fn is_named(path: &[&str], name: &str, element: Option<&str>) -> bool {
    let mut given = name.split('.');
    let fits = path.iter().all(|part| match *part {
        "N" => {
            element.is_none_or(|element| given.next() == Some(element))
                && given.next().is_some_and(is_position)
        }
        part => given.next() == Some(part),
    });
    fits && given.next().is_none()
}

/// `1`, `2`, … without a sign or zeros before it.
fn is_position(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && text.len() <= 9
        && text
            .as_bytes()
            .first()
            .is_some_and(|first| (b'1'..=b'9').contains(first))
}

/// Checks a call of a protocol whose input is a JSON value.
///
/// # Errors
/// The service's codes for a member that it does not know, one of another type, and a value that it does not take.
pub fn json(service: &str, operation: &str, input: &Value) -> Result<(), AppError> {
    match operations(service).and_then(|all| all.get(operation)) {
        Some(members) => walk(&words(service), members, input, &mut Vec::new()),
        None => Ok(()),
    }
}

fn walk<'a>(
    words: &Words,
    members: &[Member],
    value: &'a Value,
    path: &mut Vec<Part<'a>>,
) -> Result<(), AppError> {
    // Deeper than any member of the tables.
    const DEEPEST: usize = 8;
    let fits = |member: &&Member| {
        member.path.len() >= path.len()
            && path
                .iter()
                .zip(&member.path)
                .all(|(part, name)| part.is(name))
    };
    let mut found = members.iter().filter(fits).peekable();
    if (found.peek().is_none() && !path.is_empty()) || path.len() > DEEPEST {
        return Err(words.unknown(&written(path)));
    }
    if value.is_null() {
        return Ok(());
    }
    if let Some(member) = found.find(|member| member.path.len() == path.len()) {
        return words.json(&written(path), &member.kind, value);
    }
    match value {
        Value::Object(inner) => inner.iter().try_for_each(|(key, value)| {
            path.push(Part::Key(key));
            walk(words, members, value, path)?;
            path.pop();
            Ok(())
        }),
        Value::Array(items) => items.iter().try_for_each(|value| {
            path.push(Part::Element);
            walk(words, members, value, path)?;
            path.pop();
            Ok(())
        }),
        _ => Err(AppError::new(
            words.kind,
            format!("The member {} must be a list or a structure", written(path)),
        )),
    }
}

#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Key(&'a str),
    Element,
}

impl Part<'_> {
    fn is(self, name: &str) -> bool {
        match self {
            Self::Element => name == "N",
            Self::Key(key) => name != "N" && (name == "*" || name == key),
        }
    }
}

fn written(path: &[Part<'_>]) -> String {
    path.iter().fold(String::new(), |text, part| match part {
        Part::Element => format!("{text}[]"),
        Part::Key(key) if text.is_empty() => (*key).to_owned(),
        Part::Key(key) => format!("{text}.{key}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ec2(operation: &str, form: &str) -> Option<String> {
        query("ec2", operation, &Params::parse(form.as_bytes()), None)
            .err()
            .map(|error| error.code)
    }

    #[test]
    fn what_is_not_named_is_refused() {
        for form in [
            "InstanceId=i-1",
            "InstanceId.0=i-1",
            "InstanceId.01=i-1",
            "InstanceId.x=i-1",
            "InstanceId.1.2=i-1",
            "InstanceIds.1=i-1",
            "instanceid.1=i-1",
            "Filter.1.Values.1=x",
            "Filter.1.Value=x",
            "Filters=x",
            "Colour=red",
        ] {
            let code = ec2("DescribeInstances", form);
            assert_eq!(code.as_deref(), Some("UnknownParameter"), "{form}");
        }
        for form in [
            "Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-1",
            "Filter.12.Value.3=x&Filter.12.Name=y",
            "MaxResults=5&NextToken=x&DryRun=true",
        ] {
            assert_eq!(ec2("DescribeInstances", form), None, "{form}");
        }
        for form in ["DryRun=maybe", "MaxResults=many", "MaxResults=1.5"] {
            let code = ec2("DescribeInstances", form);
            assert_eq!(code.as_deref(), Some("InvalidParameterValue"), "{form}");
        }
    }

    #[test]
    fn json_is_held_to_names_and_types() {
        let send = |body: Value| json("ssm", "SendCommand", &body).err().map(|e| e.code);
        let fine = json!({"DocumentName": "x", "InstanceIds": ["i-1"], "Targets": [], "Comment": null,
            "Parameters": {"any name": ["one", "two"]}, "TimeoutSeconds": 30});
        assert_eq!(send(fine), None);
        for (body, code) in [
            (json!({"Coment": "x"}), "ValidationException"),
            (json!({"Coment": null}), "ValidationException"),
            (json!({"Nothing": []}), "ValidationException"),
            (json!({"OutputS3BucketName": "b"}), "ValidationException"),
            (json!({"Targets": {"Key": "x"}}), "ValidationException"),
            (json!({"TimeoutSeconds": 29}), "ValidationException"),
            (json!({"DocumentHashType": "Md5"}), "ValidationException"),
            (json!({"TimeoutSeconds": "30"}), "SerializationException"),
            (json!({"InstanceIds": "i-1"}), "SerializationException"),
            (json!({"InstanceIds": [7]}), "SerializationException"),
            (json!({"Comment": ["x"]}), "SerializationException"),
        ] {
            assert_eq!(send(body.clone()).as_deref(), Some(code), "{body}");
        }
    }

    #[test]
    fn elements_of_awsquery_are_members() {
        let put = |form: &str| {
            query(
                "monitoring",
                "PutMetricData",
                &Params::parse(form.as_bytes()),
                Some("member"),
            )
            .err()
            .map(|error| error.code)
        };
        assert_eq!(
            put("Namespace=n&MetricData.member.1.Values.member.2=3"),
            None
        );
        for form in [
            "MetricData.1.Value=3",
            "MetricData.member.x.Value=3",
            "MetricData=3",
        ] {
            assert_eq!(
                put(form).as_deref(),
                Some("InvalidParameterValue"),
                "{form}"
            );
        }
    }
}
