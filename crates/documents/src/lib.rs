//! The SSM documents that freezeframe brings along, assembled from `assets/documents/src`. The product installs
//! them in an account; the lab has them in every region.

macro_rules! document {
    ($stem:literal) => {
        (
            $stem,
            include_str!(concat!("../../../assets/documents/", $stem, ".json")),
        )
    };
}

/// File stem and content (JSON of schema 2.2) of every document: one per recipe, and the one that drills and restores mount with.
pub const ALL: [(&str, &str); 6] = [
    document!("linux-filesystem"),
    document!("linux-mysql"),
    document!("linux-postgresql"),
    document!("linux-redis"),
    document!("linux-mongodb"),
    document!("linux-mount"),
];

/// What the documents' names begin with in an account: `freezeframe-linux-mysql`.
pub const PREFIX: &str = "freezeframe-";
