//! `[menu]`: how menus look whose rules do not say it.

use serde::Deserialize;

use crate::boot::{Colors, Look, ScreenSize, Source};

/// `[menu]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MenuSection {
    /// The picture behind menus (PNG): a file of the images folder, or a URL.
    #[serde(deserialize_with = "source")]
    pub picture: Option<Source>,
    /// The size of the screen, in pixels; that of the picture when absent.
    pub size: Option<ScreenSize>,
    /// The colors, each as `#1a2b3c`.
    pub colors: Colors,
}

impl MenuSection {
    /// The look; none where nothing is said.
    pub fn look(&self) -> Option<Look> {
        let MenuSection { picture, size, colors } = self.clone();
        Some(Look { picture, size, colors }).filter(|look| !look.is_usual())
    }
}

fn source<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Source>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}
