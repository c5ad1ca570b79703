//! Rules that clients add to subscriptions and take away.

use super::bed::*;
use opsloop_embedded::{
    broker::{Broker, BrokerError, DEFAULT_RULE, Filter, Rule, RuleError, Settings},
    host::Entity,
};

fn sql(name: &str, expression: &str) -> Rule {
    Rule { name: name.to_owned(), filter: Filter::Sql(expression.to_owned()) }
}

both! {
    async fn a_message_that_any_rule_lets_through_comes_once(bed: &Bed) {
        bed.broker.add_rule(&of("Incidents"), sql("acme", "tenant = 'acme'")).await.unwrap();
        bed.broker.add_rule(&of("Incidents"), sql("all", "1=1")).await.unwrap();
        bed.send(&[with(event("a", "AlertTriggered"), "tenant", "acme"), event("b", "Other")]).await;
        assert_eq!(bed.ids(&of("Incidents")).await, ["a", "b"]);
    }

    async fn without_its_deployed_rule_a_subscription_takes_what_the_others_say(bed: &Bed) {
        assert!(bed.broker.remove_rule(&of("Incidents"), "$default").await.unwrap());
        assert!(!bed.broker.remove_rule(&of("Incidents"), DEFAULT_RULE).await.unwrap());
        bed.send(&[event("a", "AlertTriggered")]).await;
        assert!(bed.ids(&of("Incidents")).await.is_empty());
        bed.broker.add_rule(&of("Incidents"), sql(DEFAULT_RULE, "kind LIKE 'Alert%'")).await.unwrap();
        bed.send(&[event("b", "AlertTriggered")]).await;
        assert_eq!(bed.ids(&of("Incidents")).await, ["b"]);
        assert_eq!(bed.broker.rules(&of("Incidents")).await.unwrap(), [sql(DEFAULT_RULE, "kind LIKE 'Alert%'")]);
    }

    async fn a_rule_that_is_none_or_there_already_is_refused(bed: &Bed) {
        let add = async |rule| bed.broker.add_rule(&of("Incidents"), rule).await;
        assert!(matches!(add(sql("x", "kind =")).await, Err(RuleError::Invalid(_))));
        assert!(matches!(add(sql("", "1=1")).await, Err(RuleError::Invalid(_))));
        assert_eq!(add(sql("$DEFAULT", "1=1")).await, Err(RuleError::Exists));
        let missing = bed.broker.add_rule(&queue(), sql("x", "1=1")).await;
        assert_eq!(missing, Err(RuleError::Broker(BrokerError::NoSuchEntity)));
        for n in 0..100 {
            add(sql(&format!("r{n}"), "1=1")).await.unwrap();
        }
        assert_eq!(add(sql("one-more", "1=1")).await, Err(RuleError::TooMany));
    }

    async fn the_deployed_rule_is_listed_as_it_is_deployed(bed: &Bed) {
        let expected = "(kind IN ('TraceRecorded', 'IncidentResolved') AND (kind <> 'TraceRecorded' OR signals = 'true') \
            AND NOT EXISTS(audience)) OR audience = 'Feedback'";
        assert_eq!(bed.broker.rules(&of("Feedback")).await.unwrap(), [sql(DEFAULT_RULE, expected)]);
    }
}

#[tokio::test]
async fn rules_survive_the_process() {
    let bed = Bed::file();
    bed.broker.remove_rule(&of("Incidents"), DEFAULT_RULE).await.unwrap();
    bed.broker.add_rule(&of("Incidents"), sql("acme", "tenant = 'acme'")).await.unwrap();
    let folder = bed.folder.as_ref().unwrap().path();
    let again = Broker::open(folder, &topology(), Settings::default(), bed.clock.clone()).unwrap();
    let incidents: Entity = of("Incidents");
    assert_eq!(again.rules(&incidents).await.unwrap(), [sql("acme", "tenant = 'acme'")]);
    again.send(&[event("a", "AlertTriggered"), with(event("b", "Other"), "tenant", "acme")]).await.unwrap();
    assert_eq!(ids(&again.peek(&incidents, -1, 9).await.unwrap()), ["b"]);
}
