# shellcheck shell=sh disable=SC2034
# Sourced by the other scripts: how to ask the members of this engine.
me=$POD_NAME.$DOMAIN
first=${MEMBERS%% *}
state=/data/sentinel/sentinel.conf
# What this pod's server and its Sentinel accept, by port; which password they authenticate with at others.
taken=/run/valkey/taken
offered=/run/valkey/offered

# Sets the password, and the one before the last rotation: a member may not have heard of the newer one.
readPasswords() {
  read -r password previous </etc/valkey/auth/passwords
  known="$password $previous $(cat "$taken".* 2>/dev/null || true)"
}
readPasswords

# note FILE TEXT
note() { (umask 077 && printf '%s\n' "$2" >"$1.$$" && mv "$1.$$" "$1"); }

# ask HOST PORT COMMAND… prints the answer, and nothing where there is none in time.
ask() {
  host=$1 port=$2
  shift 2
  for key in $known; do
    if answer=$(REDISCLI_AUTH=$key timeout 3 "$CLI" -e --raw -h "$host" -p "$port" "$@" 2>&1); then
      printf '%s\n' "$answer"
      return
    fi
    case $answer in *WRONGPASS* | *NOAUTH*) ;; *) return 0 ;; esac
  done
}

# role HOST prints master, slave or nothing.
role() { ask "$1" 6379 role | head -n 1; }

# isMember NAME
isMember() {
  case " $MEMBERS " in *" $1 "*) return 0 ;; esac
  return 1
}

# Sets primary to what the Sentinel with the newest configuration names; empty where none answers.
askSentinels() {
  primary='' newest=-1
  for member in $MEMBERS; do
    named='' epoch=''
    while read -r field && read -r value; do
      case $field in
      ip) named=$value ;;
      config-epoch) epoch=$value ;;
      esac
    done <<END
$(ask "$member" 26379 sentinel master mymaster)
END
    if isMember "$named" && [ "${epoch:-0}" -gt "$newest" ]; then
      primary=$named newest=$epoch
    fi
  done
}

# Sets primary to what this member's Sentinel wrote down last; empty where it did not.
remembered() {
  primary=''
  [ ! -s "$state" ] || while read -r word verb _ host _; do
    [ "$word $verb" != "sentinel monitor" ] || primary=$host
  done <"$state"
}
