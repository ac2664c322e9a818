//! How fast is fetched: by a clock that the test moves.

use jiff::civil::{Time, time};

use super::*;
use crate::config::RateWindow;

#[tokio::test(start_paused = true)]
async fn downloads_share_the_rate_of_their_origin() {
    let mut setup = Setup::new(Memory::of(&[("a", octets(1_000_000, 1)), ("b", octets(1_000_000, 2))]));
    setup.pace = Arc::new(Pacer::new(Some(100_000), Vec::new()));
    let began = Instant::now();
    let (one, other) = tokio::join!(setup.warm("a"), setup.warm("b"));
    one.unwrap();
    other.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert!((19.0..22.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_over_every_span() {
    let pacer = Pacer::new(Some(1_000), Vec::new());
    let began = Instant::now();
    for taken in 1..=50 {
        pacer.take(100).await;
        let allowed = 1_000.0 * began.elapsed().as_secs_f64() + 250.0 + 100.0;
        assert!(f64::from(taken) * 100.0 <= allowed, "{taken}");
    }
    // What was not used for long gives one burst and no more.
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    let began = Instant::now();
    for _ in 0..50 {
        pacer.take(100).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(4_500), "{:?}", began.elapsed());
    let unlimited = Pacer::new(None, Vec::new());
    let began = Instant::now();
    unlimited.take(u64::MAX).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn windows_of_the_day_change_the_rate_also_while_somebody_waits() {
    let window = |from, to, rate| RateWindow { from, to, rate };
    let windows =
        vec![window(time(22, 0, 0, 0), time(6, 0, 0, 0), None), window(time(12, 0, 0, 0), time(13, 0, 0, 0), Some(5))];
    let now = Arc::new(Mutex::new(time(6, 0, 0, 0)));
    let clock = {
        let now = Arc::clone(&now);
        Arc::new(move || *now.lock().unwrap())
    };
    let pacer = Arc::new(Pacer::with_clock(Some(10), windows, clock));
    let at = |hour: i8, minute: i8| -> Option<u64> {
        *now.lock().unwrap() = Time::constant(hour, minute, 0, 0);
        pacer.rate()
    };
    let rates = [(6, 0), (11, 59), (12, 0), (12, 59), (13, 0), (21, 59), (22, 0), (0, 0), (5, 59)];
    let rates = rates.map(|(hour, minute)| at(hour, minute));
    assert_eq!(rates, [Some(10), Some(10), Some(5), Some(5), Some(10), Some(10), None, None, None]);
    at(21, 0);
    let waiting = {
        let pacer = Arc::clone(&pacer);
        tokio::spawn(async move {
            pacer.take(100_000).await;
            pacer.take(1).await
        })
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    at(22, 0);
    let began = Instant::now();
    waiting.await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(2));
}
