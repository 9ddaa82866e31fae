//! The form in which a policy is written: how many to keep, and of which instances.

use std::collections::BTreeMap;

use crate::config::nearest;
use crate::domain::filter::{Filter, RowKind};
use crate::domain::instance::Instance;
use crate::domain::problem::{Kind, Problem};
use crate::domain::retention::{Age, Policy, TagPair};
use crate::domain::snapshot::Snapshot;
use crate::domain::text::visible;
use crate::ops::prune;
use crate::tui::widget::form::{Field, Focus, Form};

/// More of anything than this is a slip of the finger.
const MOST: u32 = 9999;

/// The numbers, in the order of their fields.
const NUMBERS: [&str; 6] = [
    "keep last",
    "keep hourly",
    "keep daily",
    "keep weekly",
    "keep monthly",
    "keep yearly",
];
/// The other fields, after the numbers.
const OTHERS: [&str; 4] = ["drop unproven after", "instances", "tags", "filter"];

/// How many fields there are where the configuration has no policies.
pub const FIELDS: usize = NUMBERS.len() + OTHERS.len();
/// The button that asks for a plan.
pub const PLAN: usize = 1;

/// The policies of the configuration.
pub type Named = BTreeMap<String, Policy>;

/// The index of the first number: after the choice of a policy, where there is one.
fn first(named: &Named) -> usize {
    usize::from(!named.is_empty())
}

/// Whether the field of the filter, the last one, has the focus.
pub fn at_filter(form: &Form) -> bool {
    matches!(form.focus(), Focus::Field(n) if n + 1 == form.fields())
}

/// The form, filled with a policy; the focus is on the button that makes a plan, which changes nothing. `chosen` is the
/// option of the choice.
pub fn form(policy: &Policy, named: &Named, chosen: usize) -> Form {
    let numbers = [
        policy.keep_last,
        policy.keep_hourly,
        policy.keep_daily,
        policy.keep_weekly,
        policy.keep_monthly,
        policy.keep_yearly,
    ];
    let list = |words: Vec<String>| words.join(", ");
    let others = [
        policy
            .drop_unproven_after
            .map_or_else(String::new, |age| age.to_string()),
        list(policy.instance.clone()),
        list(policy.tag.iter().map(ToString::to_string).collect()),
        policy.filter.clone(),
    ];
    let mut fields = Vec::new();
    if !named.is_empty() {
        let mut options = vec!["as written below".to_owned()];
        options.extend(named.keys().cloned());
        fields.push(Field::choice("policy", options).choosing(chosen));
    }
    fields.extend(
        NUMBERS
            .iter()
            .zip(numbers)
            .map(|(label, n)| Field::text(*label, n.to_string())),
    );
    fields.extend(
        OTHERS
            .iter()
            .zip(others)
            .map(|(label, text)| Field::text(*label, text)),
    );
    let buttons = ["Past prunes and restores", "Make a plan to review"];
    Form::new(fields, buttons.map(str::to_owned).to_vec(), PLAN)
}

/// What is proposed at first: three, a week of days, a month of weeks, half a year of months.
pub fn proposed() -> Policy {
    Policy {
        keep_last: 3,
        keep_daily: 7,
        keep_weekly: 4,
        keep_monthly: 6,
        ..Policy::default()
    }
}

/// The policy of the configuration that is chosen, if one is.
pub fn chosen<'a>(form: &Form, named: &'a Named) -> Option<&'a Policy> {
    let n = form.chosen(0).checked_sub(1)?;
    named.values().nth(n).filter(|_| !named.is_empty())
}

/// What is wrong with each field, by index. A list that is being typed is not wrong yet; the instances are known where
/// they were read.
pub fn errors(
    form: &Form,
    named: &Named,
    (fleet, snapshots): (&[Instance], &[Snapshot]),
) -> Vec<(usize, String)> {
    let first = first(named);
    let mut errors: Vec<(usize, String)> = (first..first + NUMBERS.len())
        .filter_map(|i| number(form.value(i)).err().map(|error| (i, error)))
        .collect();
    let [age, instances, tags, filter] = others(first);
    let left = |field: usize| form.focus() != Focus::Field(field);
    errors.extend(drop_after(form.value(age)).err().map(|e| (age, e)));
    if left(instances) {
        let wrong = nobody(form.value(instances), fleet);
        errors.extend(wrong.map(|e| (instances, e)));
    }
    if left(tags) {
        let wrong = pairs(form.value(tags)).err();
        let wrong = wrong.or_else(|| no_carrier(form.value(tags), fleet, snapshots));
        errors.extend(wrong.map(|e| (tags, e)));
    }
    let wrong = Filter::parse(form.value(filter), RowKind::Sets).err();
    errors.extend(wrong.map(|e| (filter, e.cause)));
    errors
}

/// What is wrong with the first of the instances that a plan would refuse, by the rule of the plan.
fn nobody(typed: &str, fleet: &[Instance]) -> Option<String> {
    let scope = fleet.first().map(|instance| &instance.scope)?;
    let wrong =
        split_words(typed).find_map(|word| Some((word, prune::meant(fleet, word, scope).err()?)));
    let (word, problem) = wrong?;
    let several = fleet.iter().filter(|i| i.tags.name() == Some(word)).count();
    Some(match (several, problem.kind) {
        (2.., _) => format!("{several} are named {}: use the id", visible(word)),
        (_, Kind::Usage) => format!("{}: ids have 8 or 17 hex digits", visible(word)),
        _ => {
            let names: Vec<&str> = fleet.iter().filter_map(|i| i.tags.name()).collect();
            let near = nearest(word, &names).map(|near| format!(": did you mean {near}?"));
            format!("no {} here{}", visible(word), near.unwrap_or_default())
        }
    })
}

/// A tag that no instance carries, and none of the snapshots, which may be of an instance that is gone.
fn no_carrier(typed: &str, fleet: &[Instance], snapshots: &[Snapshot]) -> Option<String> {
    let all = fleet.iter().map(|i| &i.tags);
    let all = all.chain(snapshots.iter().map(|s| &s.tags));
    let carried = |pair: &TagPair| {
        let mut all = all.clone();
        all.any(|tags| tags.get(&pair.key) == Some(pair.value.as_str()))
    };
    let wrong = pairs(typed).ok()?.into_iter().find(|pair| !carried(pair));
    wrong
        .filter(|_| !fleet.is_empty())
        .map(|pair| format!("nothing here carries {}", visible(&pair.to_string())))
}

fn others(first: usize) -> [usize; 4] {
    let at = first + NUMBERS.len();
    [at, at + 1, at + 2, at + 3]
}

fn number(typed: &str) -> Result<u32, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(0);
    }
    if !typed.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a whole number, such as 7".to_owned());
    }
    typed
        .parse()
        .ok()
        .filter(|n| *n <= MOST)
        .ok_or_else(|| format!("at most {MOST}"))
}

fn drop_after(typed: &str) -> Result<Option<Age>, String> {
    match typed.trim() {
        "" => Ok(None),
        typed => typed
            .parse()
            .map(Some)
            .map_err(|_| "a time with its unit, such as 7d".to_owned()),
    }
}

/// What is written between commas.
fn split_words(typed: &str) -> impl Iterator<Item = &str> {
    typed
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

fn pairs(typed: &str) -> Result<Vec<TagPair>, String> {
    split_words(typed)
        .map(|word| {
            word.parse()
                .map_err(|_| "KEY=VALUE, such as Env=dev".to_owned())
        })
        .collect()
}

/// The policy as typed.
///
/// # Errors
/// A field that cannot be read, and a policy that keeps nothing.
pub fn read(form: &Form, named: &Named) -> Result<Policy, Problem> {
    let refused = |cause: String| {
        Problem::new(
            Kind::Usage,
            "make a prune plan",
            cause,
            "say how many to keep in at least one field; 0 or nothing means that the rule is not used",
        )
    };
    let wrong = |label: &str, error: String| refused(format!("`{label}` must be {error}"));
    let first = first(named);
    let mut numbers = [0; NUMBERS.len()];
    for (i, slot) in numbers.iter_mut().enumerate() {
        let label = NUMBERS.get(i).copied().unwrap_or_default();
        *slot = number(form.value(first + i)).map_err(|error| wrong(label, error))?;
    }
    let [
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
    ] = numbers;
    let [age, instances, tags, filter] = others(first);
    let policy = Policy {
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        drop_unproven_after: drop_after(form.value(age)).map_err(|e| wrong(OTHERS[0], e))?,
        instance: split_words(form.value(instances))
            .map(str::to_owned)
            .collect(),
        tag: pairs(form.value(tags)).map_err(|e| wrong(OTHERS[2], e))?,
        filter: form.value(filter).trim().to_owned(),
        narrowed: Vec::new(),
    };
    if numbers == [0; NUMBERS.len()] {
        return Err(refused(
            "an empty policy keeps nothing, and deletes nothing here".to_owned(),
        ));
    }
    policy.check()?;
    Ok(policy)
}

/// A policy's rules in words: `last 3 · daily 7`.
pub fn rules(policy: &Policy) -> String {
    policy.rules().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Named {
        Named::new()
    }

    fn typed(values: [&str; 6], others: [&str; 4]) -> Form {
        let fields = values.iter().chain(&others).map(|v| Field::text("f", *v));
        Form::new(fields.collect(), vec!["ok".into()], 0)
    }

    #[test]
    fn empty_and_mistyped_policies_are_refused() {
        let read = |form: &Form| super::read(form, &none());
        for empty in [["", "", "", "", "", ""], ["0", "00", " ", "0", "0", "0"]] {
            let form = typed(empty, ["7d", "web", "", ""]);
            assert!(read(&form).unwrap_err().cause.contains("empty policy"));
        }
        for wrong in ["7d", "-1", "+3", "1e3", "seven", "99999", "１"] {
            let form = typed(["1", "", wrong, "", "", ""], [""; 4]);
            assert!(
                read(&form).unwrap_err().cause.contains("keep daily"),
                "{wrong}"
            );
            let errors = errors(&form, &none(), (&[], &[]));
            assert_eq!(errors.len(), 1);
            assert_eq!(errors[0].0, 2);
        }
        let policy = read(&typed(["", "", " 7 ", "4", "", "0"], [""; 4])).unwrap();
        assert_eq!(rules(&policy), "daily 7 · weekly 4");
        for policy in [policy, proposed()] {
            assert_eq!(read(&form(&policy, &none(), 0)).unwrap(), policy);
        }
    }

    #[test]
    fn a_scope_is_written_and_what_cannot_be_read_is_told_at_its_field() {
        let one = |others| typed(["1", "", "", "", "", ""], others);
        let read = |form: &Form| super::read(form, &none());
        let policy = read(&one([
            "14d",
            "web 1, i-01234567 ,",
            "Env=dev,Team=a=b",
            " az=eu* ",
        ]))
        .unwrap();
        assert_eq!(
            policy.scope_words(),
            "instances web 1, i-01234567 and tag Env=dev and tag Team=a=b and filter `az=eu*`"
        );
        assert_eq!(rules(&policy), "last 1 · drop unproven after 14d");
        for (n, others) in [(6, ["7", "", "", ""]), (8, ["", "", "Env", ""])] {
            let form = one(others);
            assert_eq!(read(&form).unwrap_err().kind, Kind::Usage);
            assert_eq!(errors(&form, &none(), (&[], &[]))[0].0, n);
        }
        assert!(
            read(&one(["", "", "", "stat=x"]))
                .unwrap_err()
                .cause
                .contains("stat")
        );
    }

    #[test]
    fn a_policy_of_the_configuration_is_chosen_with_its_scope() {
        let dev = Policy {
            keep_daily: 2,
            tag: vec!["Env=dev".parse().unwrap()],
            ..Policy::default()
        };
        let named = Named::from([
            ("dev".to_owned(), dev.clone()),
            ("all".to_owned(), proposed()),
        ]);
        let form = form(&proposed(), &named, 2);
        assert_eq!(chosen(&form, &named), Some(&dev));
        let form = super::form(&dev, &named, 2);
        assert_eq!(read(&form, &named).unwrap(), dev);
        assert_eq!(chosen(&super::form(&dev, &named, 0), &named), None);
        assert_eq!(chosen(&super::form(&dev, &none(), 0), &none()), None);
    }
}
