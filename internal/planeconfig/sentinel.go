package planeconfig

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// SentinelScheme begins the URI of a Redis whose primary Sentinels name.
const SentinelScheme = "redis+sentinel"

// SentinelForm is what such a URI looks like, for messages.
const SentinelForm = SentinelScheme + "://user:password@host:26379,host2:26379,host3:26379/mymaster/0"

// Sentinel is where a Redis is whose primary Sentinels name.
type Sentinel struct {
	// Addresses of the Sentinels, as host:port; 26379 where the URI names no port.
	Addresses []string
	// Master is the name under which the Sentinels know the primary.
	Master string
	// Database to select, 0 by default.
	Database int
	// Username and Password for the servers, and for the Sentinels where they have none of their own.
	Username, Password string
	// SentinelUsername and SentinelPassword for the Sentinels: the query's sentinel_username and
	// sentinel_password, or else those of the servers.
	SentinelUsername, SentinelPassword string
}

// IsSentinelURI is true for a URI that ParseSentinelURI is to read.
func IsSentinelURI(uri string) bool {
	return strings.HasPrefix(strings.TrimSpace(uri), SentinelScheme+"://")
}

// errSentinelURI holds nothing of the URI, and so no password.
var errSentinelURI = errors.New("the URI must be " + SentinelForm + ", with special characters of the password percent-encoded")

// ParseSentinelURI reads redis+sentinel://user:password@host:26379,host2:26379/mymaster/0. It is
// taken apart here because net/url refuses a list of hosts. Errors hold no secret.
func ParseSentinelURI(uri string) (Sentinel, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(uri), SentinelScheme+"://")
	if !ok || strings.Contains(rest, "#") {
		return Sentinel{}, errSentinelURI
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	var out Sentinel
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		authority = authority[at+1:]
		if err := unescape(&out.Username, user, &out.Password, password); err != nil {
			return Sentinel{}, errSentinelURI
		}
	}
	for host := range strings.SplitSeq(authority, ",") {
		address, err := sentinelAddress(host)
		if err != nil {
			return Sentinel{}, err
		}
		out.Addresses = append(out.Addresses, address)
	}
	if err := out.readPath(path); err != nil {
		return Sentinel{}, err
	}
	return out, out.readQuery(query)
}

func unescape(user *string, escapedUser string, password *string, escapedPassword string) error {
	var err error
	if *user, err = url.PathUnescape(escapedUser); err != nil {
		return err
	}
	*password, err = url.PathUnescape(escapedPassword)
	return err
}

func sentinelAddress(host string) (string, error) {
	if !strings.Contains(host, ":") {
		host += ":26379"
	}
	name, port, err := net.SplitHostPort(host)
	if number, wrong := strconv.ParseUint(port, 10, 16); err != nil || name == "" || wrong != nil || number == 0 {
		return "", errSentinelURI
	}
	return net.JoinHostPort(name, port), nil
}

func (s *Sentinel) readPath(path string) error {
	master, database, given := strings.Cut(path, "/")
	var err error
	if s.Master, err = url.PathUnescape(master); err != nil || s.Master == "" {
		return errSentinelURI
	}
	if given && database != "" {
		if s.Database, err = strconv.Atoi(database); err != nil || s.Database < 0 {
			return errSentinelURI
		}
	}
	return nil
}

func (s *Sentinel) readQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errSentinelURI
	}
	s.SentinelUsername, s.SentinelPassword = s.Username, s.Password
	for key := range values {
		switch key {
		case "sentinel_username":
			s.SentinelUsername = values.Get(key)
		case "sentinel_password":
			s.SentinelPassword = values.Get(key)
		default:
			return errSentinelURI
		}
	}
	return nil
}
