#!/bin/bash
# Decrypts a file of a Mainstay recovery point without Mainstay and without Python: bash and OpenSSL 3 alone (and head, tail, od).
#
#   recover.sh POINT FILE --key-file KEY > OUT         with a local key file; asks for its passphrase if it has one
#   recover.sh POINT FILE --data-key DATA-KEY > OUT    with a file that holds the data key (32 bytes raw, or hex)
#
# IT DOES NOT CHECK THE AUTHENTICATION TAGS, because the openssl program cannot. Damage is therefore not noticed here: check the
# SHA-256 of the manifest before (docs: README.md), and use recover.py where there is a Python. Keys are visible in the list of
# processes of this machine while it runs: use one where nobody else is logged in.
set -euo pipefail
die() { echo "recover.sh: $*" >&2; exit 1; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
raw() { local text=$1 out='' i; for ((i = 0; i < ${#text}; i += 2)); do out+="\\x${text:i:2}"; done; printf '%b' "$out"; }
# AES-GCM is AES-CTR that begins at 2: key, nonce (both hex); standard input to standard output.
gcm() { openssl enc -d -aes-256-ctr -K "$1" -iv "${2}00000002"; }

[ $# -eq 4 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
point=$1 file=$2 how=$3 key_file=$4
[ -r "$point/keys.json" ] || die "there is no keys.json in $point"
[ -r "$point/$file" ] || die "there is no $file in $point"
[ -t 1 ] && die "standard output is a terminal: redirect it"

# A folder of archived log has no manifest, and one key for all its files; their names are bound to it.
object=$file suffix=''
if [ ! -e "$point/manifest.json" ]; then object=segments suffix="|$file"; fi

# keys.json has one field a line.
associated='' current='' id='' wrapped=''
declare -A wrapped_for=()
while IFS= read -r line; do
  if [[ $line =~ ^[[:space:]]*\"([^\"]+)\":[[:space:]]*\{$ ]]; then
    current=${BASH_REMATCH[1]}
  elif [[ $current == "$object" && $line =~ ^[[:space:]]*\"([^\"]+)\":[[:space:]]*\"(.*)\",?$ ]]; then
    case ${BASH_REMATCH[1]} in
      associated_data) associated=${BASH_REMATCH[2]} ;;
      key_id) id=${BASH_REMATCH[2]} ;;
      wrapped) wrapped=${BASH_REMATCH[2]}; wrapped_for[$id]=$wrapped ;;
    esac
  fi
done < "$point/keys.json"
[ -n "$associated" ] || die "keys.json has no key for $file"
associated+=$suffix

# A file that went through a mail or a password manager may have other line ends.
field() { tr -d '\r' < "$key_file" | sed -n "s/^$1 *= *\"\{0,1\}\([^\"]*\)\"\{0,1\} *\$/\1/p"; }
case $how in
  --data-key)
    key=$(hex < "$key_file")
    if [ ${#key} -ne 64 ]; then key=$(tr -d ' \r\n' < "$key_file"); fi
    ;;
  --key-file)
    [ "$(field format)" = mainstay.key.v1 ] || die "$key_file is no key file of the format mainstay.key.v1"
    own_id=$(field id) own=$(field key)
    if [ -z "$own" ]; then
      IFS= read -r -s -p 'passphrase of the key file: ' passphrase || [ -n "$passphrase" ]
      echo >&2
      under=$(openssl kdf -binary -keylen 32 -kdfopt digest:SHA512 -kdfopt "pass:$passphrase" -kdfopt "hexsalt:$(field salt)" \
        -kdfopt "iter:$(field iterations)" PBKDF2 | hex)
      inner=$(field wrapped-key)
      own=$(raw "${inner:24:64}" | gcm "$under" "${inner:0:24}" | hex)
    fi
    is=$({ printf mainstay.key.v1; raw "$own"; } | openssl dgst -sha256 -binary | hex)
    [ "${is:0:32}" = "$own_id" ] || die "the passphrase is wrong, or the key file is damaged"
    [ -n "${wrapped_for[$own_id]:-}" ] || die "the key $own_id does not open this file; these do: ${!wrapped_for[*]}"
    inner=$(printf %s "${wrapped_for[$own_id]}" | openssl base64 -d -A | hex)
    key=$(raw "${inner:24:64}" | gcm "$own" "${inner:0:24}" | hex)
    ;;
  *) die "say --key-file or --data-key" ;;
esac
[[ $key =~ ^[0-9a-fA-F]{64}$ ]] || die "a data key has 32 bytes"

# Tink's streaming format AES256_GCM_HKDF_1MB: header = 40, salt(32), prefix(7); segments of 1 MiB, the last bytes of each a tag.
path=$point/$file segment=1048576
size=$(wc -c < "$path")
header=$(head -c 40 "$path" | hex)
[ "${header:0:2}" = 28 ] && [ "$size" -ge 56 ] || die "$file does not begin with the header of an encrypted file: it is damaged"
prefix=${header:66:14}
subkey=$(openssl kdf -binary -keylen 32 -kdfopt digest:SHA256 -kdfopt "hexkey:$key" -kdfopt "hexsalt:${header:2:64}" \
  -kdfopt "info:$associated" HKDF | hex)
count=$(((size + segment - 1) / segment))
for ((number = 0; number < count; number++)); do
  start=$((number * segment)) end=$((number * segment + segment)) last=0
  if ((number == 0)); then start=40; fi
  if ((number == count - 1)); then end=$size last=1; fi
  ((end - start >= 16)) || die "$file is cut in segment $number"
  { tail -c +$((start + 1)) "$path" || true; } 2> /dev/null | head -c $((end - start - 16)) |
    gcm "$subkey" "$prefix$(printf '%08x%02x' $number $last)"
done
if [ -n "$suffix" ]; then
  echo "recover.sh: decrypted WITHOUT checking the tags; zstd -dc checks the content when it is unpacked" >&2
else
  echo "recover.sh: decrypted WITHOUT checking the tags; compare the SHA-256 of $file with the manifest" >&2
fi
