//! The review of a run asks whether the agents are connected: their pings are believed for minutes after their death.

use freezeframe::domain::ids::InstanceId;
use freezeframe::tui::effect::Effect;
use freezeframe::tui::message::Message;

use super::support::{DB, Hands, WEB};

fn answered(hands: &mut Hands, instance: &str, connected: Option<bool>) {
    hands.message(Message::Connection {
        instance: InstanceId::from_api(instance),
        connected,
    });
}

#[test]
fn a_dead_agent_is_told_in_the_review_of_a_run() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter> <Esc>/web<Enter> <Esc>/batch<Enter> <Esc>");
    let effects = hands.press("s");
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::AskConnections(instances) => Some(instances.clone()),
        _ => None,
    });
    // Of those that are called online, and of no other.
    let asked = asked.unwrap_or_default();
    assert!(asked.contains(&InstanceId::from_api(DB)), "{asked:?}");
    let stopped = InstanceId::from_api("i-0d000000000000005");
    assert!(!asked.contains(&stopped), "{asked:?}");
    answered(&mut hands, DB, Some(false));
    answered(&mut hands, WEB, None);
    shows!("review_not_connected", hands);
    let screen = hands.screen(120, 40);
    assert_eq!(screen.matches("is not connected").count(), 1, "{screen}");
    // It is no refusal: an agent may be reached all the same. And it is asked anew each time.
    answered(&mut hands, DB, Some(true));
    assert!(!hands.screen(120, 40).contains("is not connected"));
    answered(&mut hands, DB, Some(false));
    hands.press("<Esc>");
    let again = hands.press("s");
    assert!(again.iter().any(|e| matches!(e, Effect::AskConnections(_))));
    assert!(!hands.screen(120, 40).contains("is not connected"));
}
