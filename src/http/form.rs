//! What a client says of itself, in a query or a form.

use std::time::Duration;

use axum::extract::{Form, FromRequest, Query, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::answers::text;
use crate::boot::Machine;

/// How long a client may take to send its form.
pub(super) const FORM_TIME_MAX: Duration = Duration::from_secs(10);

/// The facts in a query or a form; none where the client reports none.
pub(super) async fn facts_of(request: Request) -> Result<Machine, Response> {
    fields_of(request).await.map(|fields| facts_in(&fields))
}

/// The fields of a query or a form.
pub(super) async fn fields_of(request: Request) -> Result<Vec<(String, String)>, Response> {
    let pairs = if request.method() == Method::POST {
        let form = Form::<Vec<(String, String)>>::from_request(request, &());
        match tokio::time::timeout(FORM_TIME_MAX, form).await {
            Ok(Ok(Form(pairs))) => pairs,
            Ok(Err(rejected)) => return Err(rejected.into_response()),
            Err(_) => return Err(text(StatusCode::REQUEST_TIMEOUT, "the form did not come in time\n")),
        }
    } else {
        query(request.uri())
    };
    Ok(pairs)
}

/// The facts among fields.
pub(super) fn facts_in(fields: &[(String, String)]) -> Machine {
    let mut machine = Machine::default();
    for (name, value) in fields {
        machine.insert(name, value);
    }
    machine
}

/// The value of a field; empty when it is not there.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

pub(super) fn query(uri: &Uri) -> Vec<(String, String)> {
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default()
}
