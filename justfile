# The commands of this repository; `just` lists them. CI (.github/workflows) calls the same recipes.

_list:
    @just --list --unsorted

# Format the code
fmt:
    cargo fmt

# Check formatting, clippy, the shell scripts, and the SSM documents against their sources
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    shellcheck .ci/run .ci/servers .ci/roots tests/matrix.sh tests/documents/sweep.sh docs/images/make
    for document in assets/documents/*.json; do jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$document" | shellcheck -s sh - || exit 1; done
    python3 assets/documents/build.py --check

# Run the tests that run anywhere; those that need root or the AWS CLI are ignored
test *ARGUMENTS:
    cargo test --locked {{ ARGUMENTS }}

# Run the simulation: the real engine against seeded faults
test-sim SEEDS="1000":
    cargo test --locked --test simulation
    cargo run --locked --example simulate -- --seeds {{ SEEDS }}

# Run what `cargo test` ignores: real filesystems are frozen (as root, Linux, with the AWS CLI); what is missing fails by name
test-real:
    cargo test --locked -- --ignored --skip p13_mysql_
    bash tests/documents.sh

# Change the rules (crates/core) in small ways, and list the changes that no test of theirs notices
mutants SHARD="0/26":
    cargo mutants --package freezeframe-core --shard {{ SHARD }} --sharding round-robin --output target/mutants

# Check licences, sources and banned crates of all dependencies
deny:
    cargo deny --locked check bans licenses sources

# Check dependencies against the database of known vulnerabilities (needs network)
audit:
    cargo deny --locked check advisories

# Build the documentation of the code; a warning is an error
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# Open the console on the embedded lab
demo:
    cargo run --locked -- --lab

# Make the pictures of the README anew (as root, Linux)
pictures:
    docs/images/make
