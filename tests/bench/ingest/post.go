package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

const (
	userAgent    = "obsyk-operator/1.0"
	refreshEarly = 5 * time.Minute
	retryAfter   = time.Second
)

type poster struct {
	url, client string
	key         *ecdsa.PrivateKey
	http        *http.Client
	token       string
	until       time.Time
}

type envelope struct {
	ClusterUID string `json:"cluster_uid"`
	Type       string `json:"type"`
	Kind       string `json:"kind"`
	UID        string `json:"uid"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
	Object     any    `json:"object,omitempty"`
}

type claims struct {
	Iss string   `json:"iss"`
	Sub string   `json:"sub"`
	Aud []string `json:"aud"`
	Exp int64    `json:"exp"`
	Iat int64    `json:"iat"`
	Jti string   `json:"jti"`
}

func newPoster(address, ca, client, key string) (*poster, error) {
	text, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New(key + ": no PEM block")
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(text)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	return &poster{url: address, client: client, key: any.(*ecdsa.PrivateKey), http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}, nil
}

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (p *poster) assertion() (string, error) {
	now := time.Now().Unix()
	body, err := json.Marshal(claims{p.client, p.client, []string{p.url}, now + 300, now, uuid()})
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + b64(body)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + b64(signature[:]), nil
}

func (p *poster) bearer(ctx context.Context) (string, error) {
	if time.Now().Before(p.until) {
		return p.token, nil
	}
	jwt, err := p.assertion()
	if err != nil {
		return "", err
	}
	form := url.Values{"assertion": {jwt}, "grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}}
	text, err := p.post(ctx, "/oauth/token", "application/x-www-form-urlencoded", "", []byte(form.Encode()))
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", err
	}
	p.token, p.until = answer.AccessToken, time.Now().Add(time.Duration(answer.ExpiresIn)*time.Second-refreshEarly)
	return p.token, nil
}

func (p *poster) post(ctx context.Context, path, kind, token string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("User-Agent", userAgent)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := p.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s: %.200s", path, answer.Status, text)
	}
	return text, err
}

// event sends one, again and again until it is taken.
func (p *poster) event(ctx context.Context, cluster string, it change) {
	body, err := json.Marshal(envelope{cluster, it.what, it.kind, string(it.object.GetUID()), it.object.GetName(), it.object.GetNamespace(), it.info})
	must(err)
	for ctx.Err() == nil {
		token, err := p.bearer(ctx)
		if err == nil {
			_, err = p.post(ctx, "/api/v1/agent/events", "application/json", token, body)
		}
		if err == nil {
			return
		}
		log.Print(err)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}
