# shellcheck shell=sh disable=SC2154
# Sourced by ready.sh: how a member takes up another password. Nobody is cut off by it: what is
# authenticated stays so, and the password before is accepted too.
ports=6379
case $MEMBERS in *' '*) ports='6379 26379' ;; esac

# heard HOST PORT prints whether the password is accepted there: yes, no, or nothing without an answer.
heard() {
  case $(REDISCLI_AUTH=$password timeout 2 "$CLI" -h "$1" -p "$2" ping 2>&1 || true) in
  *WRONGPASS* | *NOAUTH*) echo no ;;
  *'Could not connect'* | '') ;;
  *) echo yes ;;
  esac
}

# tell PORT COMMAND has the server or the Sentinel of this member do something. It is written to the
# client, as what is an argument shows in the list of processes.
tell() {
  for key in $known; do
    answer=$(printf '%s\n' "$2" | REDISCLI_AUTH=$key timeout 3 "$CLI" --raw -h 127.0.0.1 -p "$1" 2>/dev/null | head -n 1)
    case $answer in
    OK) return 0 ;;
    *WRONGPASS* | *NOAUTH*) ;;
    *) return 1 ;;
    esac
  done
  return 1
}

accept() {
  for port in $ports; do
    if [ "$(heard 127.0.0.1 "$port")" != yes ]; then
      tell "$port" "ACL SETUSER default resetpass >$password >$previous" || return 1
    fi
    note "$taken.$port" "$password $previous"
  done
}

# refused is true while another member answers and does not accept the password.
refused() {
  {
    for member in $MEMBERS; do
      [ "$member" = "$me" ] || for port in $ports; do
        heard "$member" "$port" &
      done
    done
    wait
  } | grep -q no
}

offer() {
  [ "$ports" != 6379 ] || return 0
  tell 6379 "CONFIG SET masterauth $password" &&
    tell 26379 "SENTINEL SET mymaster auth-pass $password" &&
    tell 26379 "SENTINEL CONFIG SET sentinel-pass $password"
}

# rotate has this member accept the password, and use it at others once all of them accept it.
rotate() { accept && ! refused && offer && note "$offered" "$password"; }
