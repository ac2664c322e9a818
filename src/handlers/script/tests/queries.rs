//! `request.record`, and named queries.

use super::*;
use crate::config::Config;
use crate::database::{NamedQueries, NamedQuery};

struct Gone;
#[async_trait]
impl crate::database::Source for Gone {
    async fn rows(&self, _: &crate::boot::Record, _: std::time::Duration) -> Result<crate::database::Rows, String> {
        Err("gone".into())
    }
    async fn fresh_rows(
        &self,
        _: &crate::boot::Record,
        _: std::time::Duration,
    ) -> Result<Vec<crate::boot::Record>, String> {
        Err("gone".into())
    }
}

/// The named queries of a configuration.
pub(super) fn named(config: &Config) -> Arc<NamedQueries> {
    let mut queries = NamedQueries::default();
    for (name, section) in &config.databases {
        let all = section.queries.iter().map(|(query, text)| NamedQuery {
            name: format!("{name}.{query}"),
            parameters: text
                .split(':')
                .skip(1)
                .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
                .collect(),
            source: Arc::new(Gone),
        });
        queries.add(name, all);
    }
    Arc::new(queries)
}
