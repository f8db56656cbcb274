package s3store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ClosePolicy implements blobs.BucketSettings.
func (s *Store) ClosePolicy(ctx context.Context) (bool, error) {
	out, err := s.client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: s.bucket()})
	unset, err := setting("read the bucket's policy", err)
	if err != nil || unset {
		return false, err
	}
	closed, opened, err := closedPolicy(aws.ToString(out.Policy))
	if err != nil || !opened {
		return false, err
	}
	if closed == "" {
		_, err = s.client.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: s.bucket()})
	} else {
		_, err = s.client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: s.bucket(), Policy: aws.String(closed)})
	}
	_, err = setting("close the bucket's policy", err)
	return err == nil, err
}

// closedPolicy is a policy without the statements that allow everybody something, whatever else is in it; empty where none
// are left. opened is false where there were none such.
func closedPolicy(policy string) (closed string, opened bool, err error) {
	if policy == "" {
		return "", false, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(policy), &all); err != nil {
		return "", false, fmt.Errorf("read the bucket's policy: %w", err)
	}
	var statements []json.RawMessage
	if err := json.Unmarshal(all["Statement"], &statements); err != nil {
		// One alone may stand without its list.
		statements = []json.RawMessage{all["Statement"]}
	}
	kept := []json.RawMessage{}
	for _, text := range statements {
		public, err := opens(text)
		if err != nil {
			return "", false, err
		}
		if !public {
			kept = append(kept, text)
		}
	}
	if len(kept) == len(statements) {
		return policy, false, nil
	}
	if len(kept) == 0 {
		return "", true, nil
	}
	if all["Statement"], err = json.Marshal(kept); err != nil {
		return "", false, fmt.Errorf("write the bucket's policy: %w", err)
	}
	text, err := json.Marshal(all)
	return string(text), true, err
}

// opens reports whether a statement allows everybody something. One with a condition is taken to narrow who that is; one that
// allows all but some principals is for everybody.
func opens(statement json.RawMessage) (bool, error) {
	var s struct {
		Effect                  string
		Principal, NotPrincipal json.RawMessage
		Condition               map[string]json.RawMessage
	}
	if err := json.Unmarshal(statement, &s); err != nil {
		return false, fmt.Errorf("read a statement of the bucket's policy: %w", err)
	}
	if s.Effect != "Allow" || len(s.Condition) > 0 {
		return false, nil
	}
	return s.NotPrincipal != nil || everybody(s.Principal), nil
}

// everybody is "*", or has it in one of its lists.
func everybody(principal json.RawMessage) bool {
	var one string
	if json.Unmarshal(principal, &one) == nil {
		return one == "*"
	}
	var list []json.RawMessage
	if json.Unmarshal(principal, &list) != nil {
		var kinds map[string]json.RawMessage
		if json.Unmarshal(principal, &kinds) != nil {
			return false
		}
		for _, k := range kinds {
			list = append(list, k)
		}
	}
	for _, p := range list {
		if everybody(p) {
			return true
		}
	}
	return false
}
