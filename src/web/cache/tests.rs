//! The sharing, the ageing and the bounds of answers, with questions that need no database.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::DatabaseTarget;

/// The answers that a question gets, one after the other, and how often it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<usize, StoreError>>>,
    asked: AtomicUsize,
}

/// Its answer is fresh for so many seconds.
#[derive(Clone)]
struct Scripted<const FRESH: u64>(usize, Arc<Script>);

impl<const FRESH: u64> PartialEq for Scripted<FRESH> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<const FRESH: u64> Eq for Scripted<FRESH> {}

impl<const FRESH: u64> Hash for Scripted<FRESH> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<const FRESH: u64> Question for Scripted<FRESH> {
    /// Its weight.
    type Answer = usize;
    const FRESH: Duration = Duration::from_secs(FRESH);

    fn ask(&self, _hosts: &mut Hosts, _table: &str) -> Result<Self::Answer, StoreError> {
        self.1.asked.fetch_add(1, Ordering::SeqCst);
        self.1.answers.lock().unwrap().pop_front().unwrap_or(Ok(1))
    }

    fn weight(answer: &Self::Answer) -> usize {
        *answer
    }
}

fn in_loop<const FRESH: u64>(test: impl AsyncFnOnce(Rc<Cache<Scripted<FRESH>>>, Arc<Script>)) {
    let lane = Lane::start("test", &DatabaseTarget::Sqlite(PathBuf::from("/nowhere")), Duration::from_secs(1)).unwrap();
    let lane = Rc::new(lane);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cache = Rc::new(Cache::new(&lane, &lane, &Events::new(None), "t"));
    tokio::task::LocalSet::new().block_on(&runtime, test(cache, Arc::default()));
}

/// Waits until no question is under way.
async fn settled(cache: &Cache<Scripted<0>>) {
    while cache.entries.borrow().values().any(|entry| entry.pending.is_some()) {
        tokio::task::yield_now().await;
    }
}

#[test]
fn viewers_at_once_share_one_look_while_it_is_fresh() {
    in_loop(async |cache, script| {
        let viewers = (0..100).map(|_| {
            let (cache, question) = (Rc::clone(&cache), Scripted(1, Arc::clone(&script)));
            tokio::task::spawn_local(async move { cache.look(&question).await.unwrap() })
        });
        for viewer in viewers.collect::<Vec<_>>() {
            assert!(viewer.await.unwrap().away.is_none());
        }
        cache.look(&Scripted::<3600>(1, Arc::clone(&script))).await.unwrap();
        assert_eq!(script.asked.load(Ordering::SeqCst), 1);
        cache.look(&Scripted(2, Arc::clone(&script))).await.unwrap();
        assert_eq!(script.asked.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn old_answer_is_marked_while_the_database_is_away() {
    in_loop(async |cache, script| {
        let gone = || Err(StoreError::Transient { message: "gone".to_owned() });
        script.answers.lock().unwrap().extend([gone(), Ok(7), gone(), gone(), Ok(8)]);
        let question = Scripted::<0>(1, Arc::clone(&script));
        let away = cache.look(&question).await.unwrap_err();
        assert_eq!(away.error, "gone");
        settled(&cache).await;
        let seen = cache.look(&question).await.unwrap();
        assert_eq!((*seen.value, seen.away), (7, None));
        settled(&cache).await;
        let since = cache.look(&question).await.unwrap().away.unwrap().since;
        settled(&cache).await;
        // The viewer does not wait for the second failure, nor for the success after it.
        let seen = cache.look(&question).await.unwrap();
        assert_eq!((*seen.value, seen.away.map(|away| away.since)), (7, Some(since)));
        settled(&cache).await;
        cache.look(&question).await.unwrap();
        settled(&cache).await;
        let seen = cache.look(&question).await.unwrap();
        assert_eq!((seen.away, script.answers.lock().unwrap().len()), (None, 0));
    });
}

/// The bug: each question of a page waited for itself, longer together than a scrape or the script of the page.
#[test]
fn several_questions_to_a_hanging_lane_share_one_wait() {
    in_loop(async |cache, script| {
        let (release, released) = std::sync::mpsc::channel::<()>();
        assert!(cache.quick.send(move |_hosts| _ = released.recv()));
        let start = Instant::now();
        let deadline = start + Duration::from_millis(100);
        for number in 0..100 {
            // More than the lane takes.
            assert!(cache.look_until(&Scripted::<0>(number, Arc::clone(&script)), deadline).await.is_err());
        }
        assert!(start.elapsed() < WAIT_MAX, "{:?}", start.elapsed());
        drop(release);
        settled(&cache).await;
    });
}

#[test]
fn answers_are_bounded_in_number_and_size() {
    in_loop(async |cache, script| {
        for number in 0..ENTRIES_MAX * 2 {
            cache.look(&Scripted::<0>(number, Arc::clone(&script))).await.unwrap();
            assert!(cache.entries.borrow().len() <= ENTRIES_MAX);
        }
        script.answers.lock().unwrap().extend([Ok(BYTES_MAX / 2), Ok(BYTES_MAX / 2), Ok(BYTES_MAX * 2)]);
        for number in 1000..1003 {
            cache.look(&Scripted(number, Arc::clone(&script))).await.unwrap();
        }
        let entries = cache.entries.borrow();
        assert_eq!(entries.keys().map(|question| question.0).collect::<Vec<_>>(), [1002]);
    });
}
