//! Writes the images of the examples, made from Debian's busybox-static and nginx, as archives that
//! `kabuki image load` takes.
//!
//! `cargo run --release --example images -- DIR`

mod writer;

use std::path::PathBuf;

use writer::{Format, busybox, nginx};

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "images".to_string()));
    std::fs::create_dir_all(&dir)?;
    let busybox_tar = dir.join("busybox.tar");
    let nginx_tar = dir.join("nginx.tar");
    std::fs::write(&busybox_tar, busybox(Format::Oci).oci_archive("localhost/busybox:1"))?;
    std::fs::write(&nginx_tar, nginx(Format::Docker).docker_archive("localhost/nginx:1"))?;
    println!("{}\n{}", busybox_tar.display(), nginx_tar.display());
    Ok(())
}
