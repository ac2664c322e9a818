//! A slow or endless script delays nobody else.

use std::time::{Duration, Instant};

use super::*;

const SOURCE: &str = "fn allow_boot(request) {
    if request.serial == \"slow\" { loop {} }
    true
}";

fn machine(serial: &str) -> BootRequest {
    let mut machine = Machine::default();
    machine.insert("serial", serial);
    BootRequest { machine, ..request() }
}

#[test]
fn an_endless_script_for_one_machine_leaves_others_fast() {
    let (_folder, mut config) = site(&[("site.rhai", SOURCE)]);
    config.limits.allow_boot = Duration::from_millis(1500);
    let handler = Arc::new(ScriptHandler::load(&config).unwrap());
    // One thread for all: were the endless run on it, the others would wait for its end.
    block_on(async {
        let slow: Vec<_> = (0..2)
            .map(|_| {
                let handler = Arc::clone(&handler);
                tokio::spawn(async move { handler.allow_boot(&machine("slow")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let begin = Instant::now();
        for _ in 0..50 {
            assert_eq!(handler.allow_boot(&machine("fast")).await, Ok(Answer::Given(Verdict::allow())));
        }
        let elapsed = begin.elapsed();
        assert!(slow.iter().all(|task| !task.is_finished()), "the slow ones ended before the fast ones");
        assert!(elapsed < Duration::from_millis(1200), "{elapsed:?}");
        for task in slow {
            let error = task.await.unwrap().unwrap_err().message;
            assert!(error.contains("takes longer than 1.5s"), "{error}");
        }
    });
}

#[test]
fn runs_in_the_background_wait_for_their_turn() {
    let (_folder, mut config) = site(&[("site.rhai", SOURCE)]);
    config.limits.allow_boot = Duration::from_millis(50);
    config.limits.background_runs = 1;
    let handler = Arc::new(ScriptHandler::load(&config).unwrap());
    let begin = Instant::now();
    block_on(async {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let handler = Arc::clone(&handler);
                tokio::spawn(async move { handler.allow_boot(&machine("slow")).await })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap().is_err());
        }
    });
    assert!(begin.elapsed() >= Duration::from_millis(200), "{:?}", begin.elapsed());
}

#[test]
fn a_large_table_is_indexed_in_the_background() {
    let rows: String = (0..2000).map(|n| format!("{:012x},r{n}\n", n)).collect();
    let (_folder, config) = site(&[
        (
            "site.rhai",
            "fn allow_boot(request) { let row = table(\"m.csv\").find(\"mac\", \"00-00-00-00-07-CF\"); deny(row.role) }",
        ),
        ("data/m.csv", &format!("mac,role\n{rows}")),
    ]);
    let handler = ScriptHandler::load(&config).unwrap();
    let run =
        || handler.program.run(Question::AllowBoot, &request(), handler.program.inline(), answer::verdict).overrun;
    assert!(run());
    assert_eq!(block_on(handler.allow_boot(&request())), Ok(Answer::Given(Verdict::deny("r1999"))));
    assert!(!run());
}
