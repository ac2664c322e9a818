use std::net::SocketAddr;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::HeaderValue;

use super::*;

const CERTIFICATE: [u8; 32] = [7; 32];

/// A store that says what the test wants.
struct Register {
    answer: StdMutex<Result<Option<Standing>, Unavailable>>,
    asked: AtomicUsize,
    is_hanging: StdMutex<bool>,
}

#[async_trait]
impl Sites for Register {
    async fn find(&self, _: &Credential) -> Result<Option<Standing>, Unavailable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.is_hanging.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        self.answer.lock().unwrap().clone()
    }

    async fn enroll(&self, _: &str, _: &str, _: Timestamp) -> Result<Enrolled, EnrollError> {
        Err(EnrollError::Token("is not known".into()))
    }
}

struct Door {
    register: Arc<Register>,
    visitors: Visitors,
}

fn lyon(is_revoked: bool) -> Result<Option<Standing>, Unavailable> {
    Ok(Some(Standing { site: "lyon".into(), is_revoked }))
}

fn down() -> Result<Option<Standing>, Unavailable> {
    Err(Unavailable("no route to host".into()))
}

fn door(answer: Result<Option<Standing>, Unavailable>) -> Door {
    let register = Arc::new(Register {
        answer: StdMutex::new(answer),
        asked: AtomicUsize::default(),
        is_hanging: StdMutex::default(),
    });
    Door { visitors: Visitors::new(Arc::clone(&register) as _), register }
}

fn via(certificate: Option<[u8; 32]>) -> Connection {
    let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
    Connection { peer: address, local: address, secure: true, certificate, files: None }
}

impl Door {
    fn says(&self, answer: Result<Option<Standing>, Unavailable>) {
        *self.register.answer.lock().unwrap() = answer;
    }

    async fn knock(&self) -> Result<Arc<str>, Refusal> {
        self.visitors.who(&via(Some(CERTIFICATE)), &HeaderMap::new()).await
    }

    async fn knock_with(&self, authorization: &str) -> Result<Arc<str>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        self.visitors.who(&via(None), &headers).await
    }

    fn asked(&self) -> usize {
        self.register.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_is_out_within_two_seconds_and_the_store_is_asked_no_oftener() {
    let door = door(lyon(false));
    for _ in 0..100 {
        assert_eq!(door.knock().await.as_deref(), Ok("lyon"));
    }
    assert_eq!(door.asked(), 1);
    door.says(lyon(true));
    tokio::time::advance(FRESH_FOR).await;
    assert_eq!(door.knock().await, Err(Refusal::Revoked("lyon".into())));
    door.says(Ok(None));
    tokio::time::advance(FRESH_FOR).await;
    assert_eq!(door.knock().await, Err(Refusal::Unknown));
    assert_eq!(door.knock().await, Err(Refusal::Unknown));
    assert_eq!(door.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_the_store_who_was_known_stays_in_for_ten_minutes_and_nobody_new_comes_in() {
    let door = door(down());
    assert_eq!(door.knock().await, Err(Refusal::Unsure), "nobody new");
    door.says(lyon(false));
    tokio::time::advance(FRESH_FOR).await;
    assert!(door.knock().await.is_ok());
    door.says(down());
    tokio::time::advance(STAND_IN_FOR - Duration::from_secs(1)).await;
    assert!(door.knock().await.is_ok());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(door.knock().await, Err(Refusal::Unsure));
}

#[tokio::test(start_paused = true)]
async fn without_the_store_who_was_revoked_stays_out() {
    let door = door(lyon(true));
    assert_eq!(door.knock().await, Err(Refusal::Revoked("lyon".into())));
    door.says(down());
    tokio::time::advance(FRESH_FOR).await;
    assert_eq!(door.knock().await, Err(Refusal::Revoked("lyon".into())));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_keeps_nobody_waiting_for_long() {
    let door = door(lyon(false));
    assert!(door.knock().await.is_ok());
    *door.register.is_hanging.lock().unwrap() = true;
    tokio::time::advance(FRESH_FOR).await;
    let began = Instant::now();
    let all = futures_util::future::join_all((0..50).map(|_| door.knock())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(began.elapsed(), LOOKUP_MAX, "all wait for one look");
    assert_eq!(door.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_as_good_as_a_certificate_and_nonsense_is_none() {
    let door = door(lyon(false));
    for text in ["Bearer abc", "bearer  abc "] {
        assert_eq!(door.knock_with(text).await.as_deref(), Ok("lyon"), "{text}");
    }
    for text in ["abc", "Bearer", "Bearer ", "Basic abc", &format!("Bearer {}", "a".repeat(TOKEN_LEN_MAX + 1))] {
        assert_eq!(door.knock_with(text).await, Err(Refusal::Anonymous), "{text}");
    }
    assert_eq!(door.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn guesses_are_few_and_do_not_shut_out_who_is_known() {
    let door = door(lyon(false));
    assert!(door.knock_with("Bearer good").await.is_ok());
    door.says(Ok(None));
    let mut unknown = 0;
    while door.knock_with(&format!("Bearer {unknown}")).await == Err(Refusal::Unknown) {
        unknown += 1;
    }
    assert_eq!((unknown, door.asked()), (10, 11));
    assert_eq!(door.knock_with("Bearer another").await, Err(Refusal::TooManyAttempts));
    assert!(door.knock_with("Bearer good").await.is_ok());
    door.says(lyon(false));
    assert!(door.knock().await.is_ok());
}
