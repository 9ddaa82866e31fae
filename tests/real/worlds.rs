//! The accounts that the labs of these tests are made of.

/// The database server of [`PROOF`].
pub const DB: &str = "i-0fea1000000000001";
/// A file server of [`PROOF`] and the first of [`files`]: two data volumes, no database.
pub const FILES: &str = "i-0fea1000000000002";
/// The mounts of [`FILES`], in the order in which a job freezes them.
pub const MOUNTS: [&str; 2] = ["/data/a", "/data/b"];

/// The volume with the database, XFS at `/data/db`.
pub const DB_XFS: &str = "vol-0fea1000000000011";
/// The volume with files, ext4 at `/data/files`.
pub const DB_EXT4: &str = "vol-0fea1000000000012";

/// A database server and a file server.
pub const PROOF: &str = r#"
name = "proof"

[[instance]]
id = "i-0fea1000000000001"
name = "db-proof"
command_latency_ms = 100
tags = { ConsistentSnapshot = "linux-mysql", Env = "proof" }
[[instance.volume]]
id = "vol-0fea1000000000010"
device = "/dev/xvda"
size = 1
[[instance.volume]]
id = "vol-0fea1000000000011"
device = "/dev/sdf"
size = 1
fs = "xfs"
mount = "/data/db"
tags = { Name = "db data" }
[[instance.volume]]
id = "vol-0fea1000000000012"
device = "/dev/sdg"
size = 1
fs = "ext4"
mount = "/data/files"
tags = { Name = "db files" }

[[instance]]
id = "i-0fea1000000000002"
name = "files-proof"
command_latency_ms = 100
tags = { ConsistentSnapshot = "linux-filesystem", Env = "proof" }
[[instance.volume]]
id = "vol-0fea1000000000020"
device = "/dev/xvda"
size = 1
[[instance.volume]]
id = "vol-0fea1000000000021"
device = "/dev/sdf"
size = 1
fs = "ext4"
mount = "/data/a"
[[instance.volume]]
id = "vol-0fea1000000000022"
device = "/dev/sdg"
size = 1
fs = "xfs"
mount = "/data/b"
"#;

/// A world of file servers, each with these data volumes (filesystem and mount point), and their ids.
pub fn files(servers: u32, volumes: &[(&str, &str)]) -> (String, Vec<String>) {
    let mut world = "name = \"files\"\n".to_owned();
    let ids: Vec<String> = (2..2 + servers)
        .map(|n| format!("i-0fea10000000000{n:02}"))
        .collect();
    for (server, id) in ids.iter().enumerate() {
        world += &format!(
            "[[instance]]\nid = \"{id}\"\nname = \"files-{server}\"\ncommand_latency_ms = 20\n\
             tags = {{ ConsistentSnapshot = \"linux-filesystem\" }}\n\
             [[instance.volume]]\nid = \"vol-0fea2000000{server:03}000\"\ndevice = \"/dev/xvda\"\nsize = 1\n"
        );
        for (number, (letter, (fs, mount))) in ('f'..='z').zip(volumes.iter()).enumerate() {
            world += &format!(
                "[[instance.volume]]\nid = \"vol-0fea2000000{server:03}{:03}\"\ndevice = \"/dev/sd{letter}\"\n\
                 size = 1\nfs = \"{fs}\"\nmount = \"{mount}\"\n",
                number + 1
            );
        }
    }
    (world, ids)
}
