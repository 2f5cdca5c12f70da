//! The sample shop, as it lies in examples/shop, inside the binary.

use std::collections::BTreeMap;

use kiban_model::repo::MemoryFiles;

macro_rules! shop {
    ($($path:literal)*) => {
        const FILES: &[(&str, &str)] =
            &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop/", $path)))),*];
    };
}

shop! {
    "README.md"
    "orders/app.yaml"
    "orders/env/dev.pin.yaml"
    "orders/env/dev.yaml"
    "orders/env/prod.pin.yaml"
    "orders/env/prod.yaml"
    "orders/env/stg.pin.yaml"
    "orders/env/stg.yaml"
    "payments/app.yaml"
    "payments/env/dev.pin.yaml"
    "payments/env/dev.yaml"
    "payments/env/prod.pin.yaml"
    "payments/env/prod.yaml"
    "payments/env/stg.pin.yaml"
    "payments/env/stg.yaml"
    "platform.yaml"
    "stand-ins.yaml"
    "stock/app.yaml"
    "stock/env/dev.pin.yaml"
    "stock/env/dev.yaml"
    "stock/env/prod.pin.yaml"
    "stock/env/stg.pin.yaml"
    "stock/env/stg.yaml"
    "web/app.yaml"
    "web/env/dev.pin.yaml"
    "web/env/dev.yaml"
    "web/env/prod.pin.yaml"
    "web/env/prod.yaml"
    "web/env/stg.pin.yaml"
    "web/env/stg.yaml"
}

/// The files of the shop's manifest repository.
pub fn files() -> MemoryFiles {
    let files: BTreeMap<String, Vec<u8>> =
        FILES.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    MemoryFiles(files)
}

#[cfg(test)]
mod tests {
    use kiban_model::repo::{DirFiles, Files};

    #[test]
    fn the_binary_holds_every_file_of_the_shop() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
        let there = DirFiles::new(folder).list().expect("examples/shop can be listed");
        assert_eq!(super::files().list().expect("files in memory can be listed"), there);
    }
}
