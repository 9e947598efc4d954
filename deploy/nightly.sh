#!/bin/sh
# /srv/kairos/nightly.sh
set -eu
cd /srv/kairos                                  # kairos.toml, data/ and .venv/ are here
. .venv/bin/activate
set -a; . ./nightly.env; set +a                 # the key goes into the environment
new=data/vendor/$(date -u +%F)
kairos doctor --db data/kairos.duckdb
kairos equity download --out "$new" --since "$(date -u -d '7 days ago' +%F)"
kairos equity update --db data/kairos.duckdb --source "$new"
kairos equity status --db data/kairos.duckdb
