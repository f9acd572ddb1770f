# The command hf of each version: who am I, upload, download. Argument: version.
set -eu
name="acme/command-$(echo "$1" | tr . -)"
hf auth whoami >who.txt 2>&1
grep -q acme who.txt
mkdir -p model/sub
printf 'hello' >model/a.txt
head -c 300000 /dev/urandom >model/sub/weights.safetensors
hf upload "$name" model . --private --commit-message "by command" >up.txt 2>&1
hf download "$name" --local-dir got >down.txt 2>&1
cmp model/a.txt got/a.txt
cmp model/sub/weights.safetensors got/sub/weights.safetensors
hf upload "$name" model/a.txt again/b.txt >up.txt 2>&1
hf download "$name" again/b.txt --local-dir got >down.txt 2>&1
cmp model/a.txt got/again/b.txt
