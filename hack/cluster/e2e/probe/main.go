// probe runs in the pods of the cluster's tests. It says who it is, and does on request what a test wants done from
// inside a pod: fetch a URL, look a name up, write a file and read one.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getenv("POD_NAME")) })
	http.HandleFunc("/fetch", answer(fetch))
	http.HandleFunc("/lookup", answer(lookup))
	http.HandleFunc("/write", answer(write))
	http.HandleFunc("/read", answer(read))
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// answer replies with what do returns, or with status 502 and its error.
func answer(do func(query func(string) string) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := do(r.URL.Query().Get)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, text)
	}
}

func fetch(query func(string) string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(query("url"))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func lookup(query func(string) string) (string, error) {
	addresses, err := net.LookupHost(query("name"))
	return strings.Join(addresses, " "), err
}

func write(query func(string) string) (string, error) {
	return "written", os.WriteFile(query("path"), []byte(query("text")), 0o644)
}

func read(query func(string) string) (string, error) {
	data, err := os.ReadFile(query("path"))
	return string(data), err
}
