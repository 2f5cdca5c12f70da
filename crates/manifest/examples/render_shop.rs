//! Prints what a folder renders to: `cargo run -p kiban-manifest --example render_shop -- DIR ENV`.
use kiban_model::repo::{DirFiles, Repo};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dir = args.get(1).map_or("examples/shop", String::as_str);
    let env = args.get(2).map_or("prod", String::as_str);
    let repo = Repo::load(&DirFiles::new(dir));
    match kiban_manifest::render_repo(&repo, env) {
        Ok(r) => {
            for f in &r.findings {
                eprintln!("{f}");
            }
            print!("{}", r.stream());
        }
        Err(p) => {
            for p in p {
                eprintln!("{p:#}");
            }
        }
    }
}
