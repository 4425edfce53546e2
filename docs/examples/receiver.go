// Receives webhooks, with nothing but Go's standard library.
//
//	WEBHOOK_SECRET=whsec_... PORT=3000 go run receiver.go
//
// WEBHOOK_SCHEME=body checks X-Webhook-Signature in place of webhook-signature.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance    = 5 * time.Minute
	bodyBytesMax = 16 << 20
)

// webhook-signature covers the id and the time of sending too, so that nobody can send an old request again.
func verifyStandard(secret string, header http.Header, body []byte) bool {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > tolerance {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	expected := sign(key, []byte(id+"."+timestamp+"."), body)
	// For a day after the secret was rotated there are two, the old one's and the new one's.
	found := false
	for _, one := range strings.Fields(header.Get("webhook-signature")) {
		found = hmac.Equal([]byte("v1,"+expected), []byte(one)) || found
	}
	return found
}

// X-Webhook-Signature covers the body alone; the key is the whole secret, as it is written.
func verifyBody(secret string, header http.Header, body []byte) bool {
	return hmac.Equal([]byte(sign([]byte(secret), body)), []byte(header.Get("X-Webhook-Signature")))
}

func sign(key []byte, parts ...[]byte) string {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

type event struct {
	id   string
	body []byte
}

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	verify := verifyStandard
	if os.Getenv("WEBHOOK_SCHEME") == "body" {
		verify = verifyBody
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}

	// Ids that were taken. In production: a unique column, written in the transaction that stores the event.
	var seen sync.Map
	work := make(chan event, 1000)
	go func() {
		for one := range work {
			fmt.Println("handled", one.id, len(one.body))
		}
	}()

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// The bytes as they came: JSON that is parsed and written again has another signature.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if !verify(secret, r.Header, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		id := r.Header.Get("webhook-id")
		if _, known := seen.LoadOrStore(id, true); !known {
			work <- event{id, body}
		}
		// At once, and for a repeat as well: it is here.
		w.WriteHeader(http.StatusOK)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
