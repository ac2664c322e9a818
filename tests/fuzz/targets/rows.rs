//! Rows of a site's database that say what boots, and certificates that others sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::boot::{BootImage, BootImages, Platform, Record};
use pointsman::ipxe::{SessionUrls, images, render};
use pointsman::tls::inspect;

fuzz_target!(|octets: &[u8]| {
    let _ = inspect(octets);
    let Ok(row) = serde_json::from_slice::<Record>(octets) else { return };
    let _ = row.in_words();
    let id = row.text("image_id").unwrap_or_else(|| "one".into());
    // What is an image can be a list, and a script.
    if let Ok(image) = BootImage::from_row(&id, &row) {
        let list = BootImages::new(vec![image], None).expect("an image of its own");
        let urls = "http://10.0.0.2/b/token/".parse::<SessionUrls>().expect("a base");
        assert!(render(&images(&list, Platform::Efi, &urls)).starts_with("#!ipxe"));
    }
});
