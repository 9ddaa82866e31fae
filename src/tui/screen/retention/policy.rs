//! The form in which a policy is written.

use crate::domain::problem::{Kind, Problem};
use crate::domain::retention::Policy;
use crate::tui::widget::form::{Field, Form};

/// More of anything than this is a slip of the finger.
const MOST: u32 = 9999;

const LABELS: [&str; 6] = [
    "keep last",
    "keep hourly",
    "keep daily",
    "keep weekly",
    "keep monthly",
    "keep yearly",
];

/// The form, filled with a policy; the focus is on its only button, which asks and changes nothing.
pub fn form(policy: &Policy) -> Form {
    let values = [
        policy.keep_last,
        policy.keep_hourly,
        policy.keep_daily,
        policy.keep_weekly,
        policy.keep_monthly,
        policy.keep_yearly,
    ];
    let fields = LABELS
        .iter()
        .zip(values)
        .map(|(label, n)| Field::text(*label, n.to_string()))
        .collect();
    Form::new(fields, vec!["Make a plan to review".to_owned()], 0)
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

/// What is wrong with each field, by index.
pub fn errors(form: &Form) -> Vec<(usize, String)> {
    (0..LABELS.len())
        .filter_map(|i| number(form.value(i)).err().map(|error| (i, error)))
        .collect()
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

/// The policy as typed.
///
/// # Errors
/// A field that is no number, and a policy that keeps nothing.
pub fn read(form: &Form) -> Result<Policy, Problem> {
    let refused = |cause: String| {
        Problem::new(
            Kind::Usage,
            "make a prune plan",
            cause,
            "say how many to keep in at least one field; 0 or nothing means that the rule is not used",
        )
    };
    let mut numbers = [0; LABELS.len()];
    for (i, slot) in numbers.iter_mut().enumerate() {
        let label = LABELS.get(i).copied().unwrap_or_default();
        *slot =
            number(form.value(i)).map_err(|error| refused(format!("`{label}` must be {error}")))?;
    }
    let [
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
    ] = numbers;
    let policy = Policy {
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
    };
    if policy == Policy::default() {
        return Err(refused(
            "an empty policy keeps nothing, and deletes nothing here".to_owned(),
        ));
    }
    Ok(policy)
}

/// A policy in words: `last 3 · daily 7`.
pub fn words(policy: &Policy) -> String {
    [
        ("last", policy.keep_last),
        ("hourly", policy.keep_hourly),
        ("daily", policy.keep_daily),
        ("weekly", policy.keep_weekly),
        ("monthly", policy.keep_monthly),
        ("yearly", policy.keep_yearly),
    ]
    .iter()
    .filter(|(_, n)| *n > 0)
    .map(|(word, n)| format!("{word} {n}"))
    .collect::<Vec<_>>()
    .join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(values: [&str; 6]) -> Form {
        let fields = LABELS
            .iter()
            .zip(values)
            .map(|(label, v)| Field::text(*label, v))
            .collect();
        Form::new(fields, vec!["ok".into()], 0)
    }

    #[test]
    fn empty_and_mistyped_policies_are_refused() {
        for empty in [["", "", "", "", "", ""], ["0", "00", " ", "0", "0", "0"]] {
            assert!(
                read(&typed(empty))
                    .unwrap_err()
                    .cause
                    .contains("empty policy")
            );
        }
        for wrong in ["7d", "-1", "+3", "1e3", "seven", "99999", "１"] {
            let form = typed(["1", "", wrong, "", "", ""]);
            assert!(
                read(&form).unwrap_err().cause.contains("keep daily"),
                "{wrong}"
            );
            assert_eq!(errors(&form).len(), 1);
            assert_eq!(errors(&form)[0].0, 2);
        }
        let policy = read(&typed(["", "", " 7 ", "4", "", "0"])).unwrap();
        assert_eq!(words(&policy), "daily 7 · weekly 4");
        assert_eq!(read(&form(&policy)).unwrap(), policy);
        assert_eq!(read(&form(&proposed())).unwrap(), proposed());
    }
}
