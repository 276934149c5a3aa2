#!/bin/bash
# The checkout keeps the rules of rules.py, and rules.py sees when it does not.
set -euo pipefail
rules=$(readlink -f tools/lint/rules.py)
checkout=$(dirname "$(readlink -f WORKSPACE)")

echo "== the checkout"
(cd "$checkout" && /usr/bin/python3 "$rules" --code)

echo "== a checkout that breaks every rule"
broken=$(mktemp -d)
trap 'rm -rf "$broken"' EXIT
cd "$broken"
mkdir -p lib/io services/storage/core docs
cp "$checkout/LICENSE" .
printf '#include <rocksdb/db.h>\n' >lib/io/a.cc
printf '#include <grpcpp/grpcpp.h>\n' >lib/io/b.cc
printf 'absl::Mutex mu;  // docs/formats/none.md\n' >lib/io/c.cc
printf '#ifndef WRONG_H\n' >lib/io/d.h
printf 'std::this_thread::sleep_for(1s);\n' >lib/io/e_test.cc
printf '#include "lib/io/file_system.h"\n' >services/storage/core/f.cc
printf '[here](nowhere.md)\n' >docs/g.md
found=$(/usr/bin/python3 "$rules") && exit 1
echo "$found"
for expected in 'lib/io/a.cc:1: RocksDB' 'lib/io/b.cc:1: gRPC' \
  'lib/io/c.cc:1: use the types' 'lib/io/c.cc:1: docs/formats/none.md' \
  'lib/io/d.h:1: the include guard' 'lib/io/e_test.cc:1: wait' \
  'services/storage/core/f.cc:1: core/' 'docs/g.md:1: the link' '8 findings'; do
  grep -qF "$expected" <<<"$found" || {
    echo "missing: $expected"
    exit 1
  }
done
