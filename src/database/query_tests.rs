use proptest::prelude::*;

use super::*;

fn rendered(text: &str, dialect: Dialect) -> String {
    Query::parse(text).unwrap().sql(dialect).unwrap().as_str().to_owned()
}

fn names(text: &str) -> Vec<String> {
    Query::parse(text).unwrap().parameters().map(str::to_owned).collect()
}

#[test]
fn each_kind_of_database_gets_its_placeholders() {
    let text = "select * from m where mac = :mac or uuid = :Uuid and :mac is not null";
    assert_eq!(names(text), ["mac", "uuid", "mac"]);
    let ask = "select * from m where mac = ? or uuid = ? and ? is not null";
    assert_eq!(rendered(text, Dialect::Sqlite), ask);
    assert_eq!(rendered(text, Dialect::MySql), ask);
    assert_eq!(rendered(text, Dialect::Postgres), "select * from m where mac = $1 or uuid = $2 and $3 is not null");
    assert_eq!(rendered(text, Dialect::MsSql), "select * from m where mac = @P1 or uuid = @P2 and @P3 is not null");
}

#[test]
fn what_only_looks_like_a_parameter_stays() {
    for text in [
        "select ':mac', \":mac\", `:mac`",
        "select 1 -- :mac 'and an open quote",
        "select 1 -- :mac\n, 2",
        "select /* :mac ' */ 1",
        "select $$ :mac ' $$, $tag$ :mac $$ $tag$",
        "select now()::text, a :: text",
        "select list[1:2], list[lo:hi], '12:30:00'",
        "select @a := 1, f(a := 2)",
        "select 'it''s :mac', 'a\\b :mac', 'two\\\\'",
        "select 'ä:mac', ä:mac from t",
        "select 1;",
        "select 1 ; -- the end\n",
        "select a$1, a$b:c",
    ] {
        assert_eq!(names(text), [""; 0], "{text}");
        assert_eq!(rendered(text, Dialect::Postgres), text);
    }
}

#[test]
fn parameters_stand_anywhere_else() {
    for (text, sql) in [
        ("select :a", "select $1"),
        ("select(:a)::uuid", "select($1)::uuid"),
        ("select :a::uuid,:b", "select $1::uuid,$2"),
        ("select x=:a||':b'", "select x=$1||':b'"),
        ("select '':a", "select ''$1"),
        ("select /**/:a/**/", "select /**/$1/**/"),
        ("select 1 --\n:a", "select 1 --\n$1"),
        ("select list[ :lo : :hi ]", "select list[ $1 : $2 ]"),
    ] {
        assert_eq!(rendered(text, Dialect::Postgres), sql, "{text}");
    }
}

#[test]
fn what_databases_would_read_differently_is_refused() {
    for (text, error) in [
        ("", QueryError::Empty),
        (" -- nothing\n /* here */ ;", QueryError::Empty),
        ("select 'a", QueryError::Unended { what: "a string", at: 7 }),
        ("select 'a''", QueryError::Unended { what: "a string", at: 7 }),
        ("select \"a", QueryError::Unended { what: "a quoted name", at: 7 }),
        ("select /* a", QueryError::Unended { what: "a comment", at: 7 }),
        ("select /*/", QueryError::Unended { what: "a comment", at: 7 }),
        ("select $x$ a $y$", QueryError::Unended { what: "a string", at: 7 }),
        ("select 'a\\' or :b'", QueryError::Backslash { at: 10 }),
        ("select /* a /* b */ :c */", QueryError::NestedComment { at: 12 }),
        ("select $1", QueryError::Positional { number: '1', at: 7 }),
        ("select 1; drop table m", QueryError::SecondStatement { at: 10 }),
        ("select 1;'a'", QueryError::SecondStatement { at: 9 }),
        ("select 1;:a", QueryError::SecondStatement { at: 9 }),
        ("select 1\0", QueryError::Nul { at: 8 }),
    ] {
        assert_eq!(Query::parse(text), Err(error), "{text}");
    }
    assert_eq!(Query::parse(&" ".repeat(Query::TEXT_LEN_MAX + 1)), Err(QueryError::TooLong));
    let many = format!("select {}", ":a, ".repeat(Query::PARAMETERS_MAX + 1));
    assert_eq!(Query::parse(&many), Err(QueryError::TooManyParameters));
}

#[test]
fn a_question_mark_is_an_operator_only_where_it_is_no_placeholder() {
    let query = Query::parse("select facts ? 'tpm' from m where mac = :mac").unwrap();
    assert_eq!(query.sql(Dialect::Postgres).unwrap().as_str(), "select facts ? 'tpm' from m where mac = $1");
    assert!(query.sql(Dialect::Sqlite).is_none());
    assert!(query.sql(Dialect::MySql).is_none());
    assert!(Query::parse("select '?' -- ?").unwrap().sql(Dialect::Sqlite).is_some());
}

#[test]
fn values_are_found_by_name_and_null_without() {
    let query = Query::parse("select :mac, :other, :MAC").unwrap();
    let parameters: Record = [("MAC", Value::from("aa"))].into_iter().collect();
    assert_eq!(query.values(&parameters), [&Value::from("aa"), &Value::Null, &Value::from("aa")]);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "\\PC{0,200}") {
        let _ = Query::parse(&text);
    }

    #[test]
    fn nothing_made_of_sql_makes_it_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "'", "\"", "`", "--", "/*", "*/", "$", "$$", "$a$", ":", "::", ":a", ":é", "é", "\\", "\n", ";", "?", " ", "x", "1",
            ]),
            0..40,
        )
    ) {
        let text = words.concat();
        // Nothing is lost or added: the pieces are the text.
        if let Ok(pieces) = (Lexer { text: &text, at: 0 }).pieces() {
            let written = |piece: &Piece<'_>| match piece {
                Piece::Code(text) | Piece::Quoted(text) => (*text).to_owned(),
                Piece::Parameter(name) => format!(":{name}"),
            };
            prop_assert_eq!(pieces.iter().map(written).collect::<String>(), text);
        }
    }

    #[test]
    fn a_string_keeps_what_is_in_it(inside in "[a-z:?$ \"`/*-]{0,40}") {
        let text = format!("select '{inside}', :last");
        let query = Query::parse(&text).unwrap();
        prop_assert_eq!(query.parameters().collect::<Vec<_>>(), ["last"]);
        prop_assert_eq!(query.rendered[0].to_string(), format!("select '{inside}', ?"));
    }
}
