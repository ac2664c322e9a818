//! Statements of the store: constants, each read once, in the words of each kind of database.
//!
//! **Invariant**: no value is ever part of a statement. What differs between databases is a constant too.

use std::sync::OnceLock;

use crate::boot::{Record, Value};
use crate::database::{Dialect, Query};

/// A statement of ours.
pub(super) struct Statement {
    /// For SQLite, PostgreSQL and MySQL.
    texts: [&'static str; 3],
    queries: [OnceLock<Query>; 3],
    /// For [`ROWS`] rows at once.
    of_rows: [OnceLock<Query>; 3],
}

/// Rows that one statement inserts: each statement is a way to the thread or the server of the database and back.
pub(super) const ROWS: usize = 32;

impl Statement {
    /// A statement that all take; what stands in braces is one of [`WORDS`].
    pub(super) const fn new(text: &'static str) -> Statement {
        Statement::each([text, text, text])
    }

    /// A statement for SQLite, PostgreSQL and MySQL.
    pub(super) const fn each(texts: [&'static str; 3]) -> Statement {
        Statement { texts, queries: [const { OnceLock::new() }; 3], of_rows: [const { OnceLock::new() }; 3] }
    }

    /// The statement as this kind of database takes it.
    pub(super) fn of(&self, dialect: Dialect) -> &Query {
        self.prepared(&self.queries, dialect, |text| text)
    }

    /// The same for [`ROWS`] rows, of an INSERT whose parameters are all in its row of VALUES.
    pub(super) fn of_rows(&self, dialect: Dialect) -> &Query {
        self.prepared(&self.of_rows, dialect, |text| {
            let row = text.split_once("VALUES (").and_then(|(_, rest)| rest.split_once(')')).map(|(row, _)| row);
            let Some(row) = row.map(|row| format!("({row})")) else { return text };
            text.replacen(&row, &vec![row.as_str(); ROWS].join(", "), 1)
        })
    }

    #[expect(clippy::expect_used, reason = "the text is a constant, and the tests run every statement")]
    fn prepared<'a>(
        &self,
        [sqlite, postgres, mysql]: &'a [OnceLock<Query>; 3],
        dialect: Dialect,
        made: impl FnOnce(String) -> String,
    ) -> &'a Query {
        let (at, query) = match dialect {
            // A store on Microsoft SQL Server is refused when it is opened.
            Dialect::Sqlite | Dialect::MsSql => (0, sqlite),
            Dialect::Postgres => (1, postgres),
            Dialect::MySql => (2, mysql),
        };
        query.get_or_init(|| {
            let text = self.texts.get(at).copied().unwrap_or_default();
            let worded = WORDS.iter().fold(text.to_owned(), |text, (word, said)| text.replace(word, said[at]));
            Query::parse(&made(worded)).expect("a statement of ours")
        })
    }
}

/// Parameters of a statement.
pub(super) fn parameters<const N: usize>(columns: [(&str, Value); N]) -> Record {
    columns.into_iter().collect()
}

/// Columns of the machine `m`, with what each kind of database has another word for. The lists are within the limit of
/// MySQL's `GROUP_CONCAT`, 1024 octets: see `MACS_MAX` and `GROUPS_MAX`.
const MACHINE: &str = "m.name, m.hostname, m.uuid, m.manufacturer, m.serial, m.allow, m.reason, m.attributes, \
                       m.created, m.changed, {macs}, {groups}";

/// Columns of the assignment `a`.
const ASSIGNMENT: &str = "a.id, a.scope, a.machine, a.group_name, a.image, a.mode, a.mandatory, a.countdown, \
                          a.sort_order, a.spent_by, a.state, a.not_before, a.not_after, a.offered_session, \
                          a.started_session, a.offers, a.window_start, a.reason, a.created, a.changed";

/// The end of a list of assignments: the newest first, those before the one given.
const PAGE: &str = "AND (:with_final = 1 OR a.open_key IS NOT NULL) AND (:state = '' OR a.state = :state) \
                    AND (a.created < :before OR (a.created = :before AND a.id < :before_id)) \
                    ORDER BY a.created DESC, a.id DESC LIMIT :limit";

/// Whether an assignment may be offered to a boot: nobody began it, or it is not spent by that; and it is its time.
const TO_OFFER: &str = "mode = 'once' AND (state IN ('assigned', 'offered') OR (state = 'started' AND (spent_by = 'done' \
                        OR (spent_by = 'script' AND offered_session = :session)))) \
                        AND (not_before IS NULL OR not_before <= :now) AND (not_after IS NULL OR not_after > :now)";

/// Columns of the boot `b` in a list.
const SUMMARY: &str = "b.session, b.started, b.last_event, b.mac, b.uuid, b.arch, b.machine, b.verdict, b.reason, \
                       b.handler, b.images, b.result";

/// A new boot.
const BOOT: &str = "(session, started, last_event, mac, uuid, arch, machine, verdict, reason, handler, images, result, \
                    facts, trail) VALUES (:session, :started, :last_event, :mac, :uuid, :arch, :machine, :verdict, \
                    :reason, :handler, :images, :result, :facts, :trail)";

/// What is known of a boot already stays where nothing new is said; what belongs to a verdict comes and goes with it.
/// A column is read before it is written, for MySQL.
const MERGED: &str = "result = CASE WHEN excluded.result IS NULL OR (boot.result IS NOT NULL \
                        AND excluded.last_event < boot.last_event) THEN boot.result ELSE excluded.result END, \
                      mac = COALESCE(excluded.mac, boot.mac), uuid = COALESCE(excluded.uuid, boot.uuid), \
                      arch = COALESCE(excluded.arch, boot.arch), machine = COALESCE(excluded.machine, boot.machine), \
                      reason = CASE WHEN excluded.verdict IS NULL THEN boot.reason ELSE excluded.reason END, \
                      handler = COALESCE(excluded.handler, boot.handler), \
                      verdict = COALESCE(excluded.verdict, boot.verdict), \
                      images = COALESCE(excluded.images, boot.images), \
                      facts = COALESCE(excluded.facts, boot.facts), trail = COALESCE(excluded.trail, boot.trail)";

/// The same in the words of MySQL.
const MERGED_MYSQL: &str = "result = CASE WHEN VALUES(result) IS NULL OR (result IS NOT NULL \
                              AND VALUES(last_event) < last_event) THEN result ELSE VALUES(result) END, \
                            mac = COALESCE(VALUES(mac), mac), uuid = COALESCE(VALUES(uuid), uuid), \
                            arch = COALESCE(VALUES(arch), arch), machine = COALESCE(VALUES(machine), machine), \
                            reason = CASE WHEN VALUES(verdict) IS NULL THEN reason ELSE VALUES(reason) END, \
                            handler = COALESCE(VALUES(handler), handler), \
                            verdict = COALESCE(VALUES(verdict), verdict), \
                            images = COALESCE(VALUES(images), images), facts = COALESCE(VALUES(facts), facts), \
                            trail = COALESCE(VALUES(trail), trail)";

/// The end of a list of boots: the newest first, those before the one given.
const BOOTS: &str = "AND (b.started < :before OR (b.started = :before AND b.session < :before_session)) \
                     ORDER BY b.started DESC, b.session DESC LIMIT :limit";

/// What an upstream decided.
const KNOWN: &str = "(handler, machine, question, answer, answer_2, answer_3, answer_4, answer_5, decided) VALUES \
                     (:handler, :machine, :question, :answer, :answer_2, :answer_3, :answer_4, :answer_5, :decided)";

/// It takes the place of what was decided before.
const KNOWN_NEW: &str = "answer = excluded.answer, answer_2 = excluded.answer_2, answer_3 = excluded.answer_3, \
                         answer_4 = excluded.answer_4, answer_5 = excluded.answer_5, decided = excluded.decided";

/// The same in the words of MySQL, which has no condition there. A column is read before it is written.
const KNOWN_NEW_MYSQL: &str = "answer = IF(VALUES(decided) >= decided, VALUES(answer), answer), \
                               answer_2 = IF(VALUES(decided) >= decided, VALUES(answer_2), answer_2), \
                               answer_3 = IF(VALUES(decided) >= decided, VALUES(answer_3), answer_3), \
                               answer_4 = IF(VALUES(decided) >= decided, VALUES(answer_4), answer_4), \
                               answer_5 = IF(VALUES(decided) >= decided, VALUES(answer_5), answer_5), \
                               decided = GREATEST(decided, VALUES(decided))";

/// Columns of a site.
const SITE: &str = "name, token_until, token_used, fingerprint, bearer, added, enrolled, revoked, last_seen";

/// Columns of a request for approval.
const APPROVAL: &str = "id, session, mac, image, title, asked, last_asked, state, decided, decided_by, person_groups, \
                        reason";

/// A new one.
const APPROVAL_NEW: &str = "(id, session, mac, image, title, asked, last_asked, state) VALUES (:id, :session, :mac, \
                            :image, :title, :now, :now, 'pending')";

/// Columns of the question `q` of the boot `b`.
const KEPT: &str = "q.session, q.id, q.asked, q.question, q.stage, q.request, q.decision, b.machine";

/// The end of a list of questions: the newest first, those before the one given.
const KEPT_PAGE: &str = "q.asked >= :since AND (q.asked < :before OR (q.asked = :before AND (q.session < :before_session \
                         OR (q.session = :before_session AND q.id < :before_id)))) \
                         ORDER BY q.asked DESC, q.session DESC, q.id DESC LIMIT :limit";

/// What stands for a longer text, in order.
const WORDS: [(&str, [&str; 3]); 17] = [
    ("{approval}", [APPROVAL; 3]),
    ("{columns}", [APPROVAL_NEW; 3]),
    ("{kept}", [KEPT; 3]),
    ("{kept_page}", [KEPT_PAGE; 3]),
    ("{known}", [KNOWN; 3]),
    ("{known_new}", [KNOWN_NEW, KNOWN_NEW, KNOWN_NEW_MYSQL]),
    ("{site}", [SITE; 3]),
    ("{summary}", [SUMMARY; 3]),
    ("{boot}", [BOOT; 3]),
    ("{boots}", [BOOTS; 3]),
    ("{merged}", [MERGED, MERGED, MERGED_MYSQL]),
    ("{to_offer}", [TO_OFFER; 3]),
    ("{page}", [PAGE; 3]),
    ("{assignment}", [ASSIGNMENT; 3]),
    ("{machine}", [MACHINE; 3]),
    (
        "{macs}",
        [
            "(SELECT group_concat(k.mac, ' ') FROM machine_mac k WHERE k.machine = m.name) AS mac",
            "(SELECT string_agg(k.mac, ' ') FROM machine_mac k WHERE k.machine = m.name) AS mac",
            "(SELECT GROUP_CONCAT(k.mac SEPARATOR ' ') FROM machine_mac k WHERE k.machine = m.name) AS mac",
        ],
    ),
    (
        "{groups}",
        [
            "(SELECT group_concat(g.group_name, ' ') FROM group_member g WHERE g.machine = m.name) AS group_names",
            "(SELECT string_agg(g.group_name, ' ') FROM group_member g WHERE g.machine = m.name) AS group_names",
            "(SELECT GROUP_CONCAT(g.group_name SEPARATOR ' ') FROM group_member g WHERE g.machine = m.name) AS group_names",
        ],
    ),
];
