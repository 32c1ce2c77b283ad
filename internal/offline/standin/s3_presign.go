package standin

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rclone/gofakes3/signature"
)

// isPresignedV2 is whether a request is signed in its query by the version before the last, as boto3 does unless it is told otherwise.
func isPresignedV2(r *http.Request) bool {
	q := r.URL.Query()
	return q.Has("AWSAccessKeyId") && q.Has("Signature") && q.Has("Expires")
}

// refusal is how S3 says that a signature does not do.
func refusal(code, text string) *signature.APIError {
	return &signature.APIError{Code: code, Description: text, HTTPStatusCode: http.StatusForbidden}
}

// verifyV2 is what is wrong with such a signature, nil for nothing; bucket is the one that stood in the request's host, "" for none.
// Source: Amazon S3 user guide, Signing and authenticating REST requests (signature version 2), query string authentication.
func verifyV2(r *http.Request, bucket string, now time.Time) *signature.APIError {
	q := r.URL.Query()
	until, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
	switch {
	case q.Get("AWSAccessKeyId") != AccessKey:
		return refusal("InvalidAccessKeyId", "The AWS access key Id you provided does not exist in our records.")
	case err != nil:
		return refusal("AccessDenied", "Invalid date (should be seconds since epoch).")
	case now.Unix() > until:
		return refusal("AccessDenied", "Request has expired.")
	}
	h := hmac.New(sha1.New, []byte(SecretKey))
	h.Write([]byte(strings.Join([]string{r.Method, r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), q.Get("Expires"),
		amazonHeaders(r.Header) + resourceV2(r.URL, bucket)}, "\n")))
	if want := base64.StdEncoding.EncodeToString(h.Sum(nil)); !hmac.Equal([]byte(want), []byte(q.Get("Signature"))) {
		return refusal("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	}
	return nil
}

// amazonHeaders are the headers that are signed by their names, a line each.
func amazonHeaders(h http.Header) string {
	var lines []string
	for name, values := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") {
			lines = append(lines, name+":"+strings.Join(values, ",")+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// resourceV2 is what is asked for: the path as it was sent, and those parameters that say what of it.
func resourceV2(u *url.URL, bucket string) string {
	path := u.EscapedPath()
	if bucket != "" {
		path = "/" + bucket + path
	}
	var also []string
	for name, values := range u.Query() {
		if !isResourceV2(name) {
			continue
		}
		if values[0] != "" {
			name += "=" + values[0]
		}
		also = append(also, name)
	}
	if len(also) == 0 {
		return path
	}
	slices.Sort(also)
	return path + "?" + strings.Join(also, "&")
}

// isResourceV2 is whether a parameter is signed.
func isResourceV2(name string) bool {
	return strings.HasPrefix(name, "response-") || slices.Contains([]string{"acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber",
		"policy", "requestPayment", "restore", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"}, name)
}
