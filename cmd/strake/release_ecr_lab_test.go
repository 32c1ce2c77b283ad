//go:build lab

package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// ofTwoAccounts is a project that is built in one account, and whose production is another one's.
const ofTwoAccounts = `
x-strake:
  registry: %s/shop
  environments:
    dev: {tag: latest, branch: main}
    stg: {tag: staging, from: dev}
    prod: {tag: release, from: stg, registry: %s/saas, role: "arn:aws:iam::222222222222:role/promote"}
services:
  api: {build: ./api}
  web: {build: ./web}
`

// onECR is a repository whose commits are released to two accounts' ECR, with what a person has who is signed in to the first.
func onECR(t *testing.T, e lab.Engine) (repository, *awslab.ECR, *awslab.Faults) {
	t.Helper()
	registries := awslab.Start(t).ECR(t)
	f := registries.Faults(t)
	r := releaseRepositoryOf(t, e, fmt.Sprintf(ofTwoAccounts, strings.TrimPrefix(f.URL, "http://"), awslab.Host("222222222222")))
	r.env = append(r.env, f.Environ()...)
	return r, registries, f
}

// fails is what a command says that must end with 1.
func (r repository) fails(t *testing.T, args ...string) string {
	t.Helper()
	out, code := r.strake(t, r.env, args...)
	if code != 1 {
		t.Errorf("strake %s: exit %d, want 1\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func TestRelease_ECROfTwoAccounts(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		r, registries, f := onECR(t, e)
		one := r.git(t, "rev-parse", "HEAD")
		for _, command := range [][]string{{"build", "--push"}, {"status"}} {
			if out := r.fails(t, command...); !strings.Contains(out, "strake registry init") {
				t.Errorf("%v without repositories says %s, want that it names strake registry init", command, out)
			}
		}
		plan := r.run(t, 10, "registry", "init", "--dry-run")
		t.Log(plan)
		if out := r.run(t, 0, "registry", "init"); !strings.Contains(out, "+ create") || !strings.Contains(plan, "+ create    saas/web") {
			t.Errorf("registry init = %s", out)
		}
		if out := r.run(t, 0, "registry", "init", "--dry-run"); !strings.Contains(out, "nothing to make") {
			t.Errorf("the second registry init = %s", out)
		}
		r.run(t, 0, "build", "--push")
		if out := r.run(t, 0, "build", "--push"); !strings.Contains(out, "all images are there already") {
			t.Errorf("the second build --push = %s", out)
		}
		r.run(t, 0, "promote", "stg", "--yes")
		r.run(t, 10, "promote", "prod", "--dry-run")
		f.Clear()
		t.Log(r.run(t, 0, "promote", "prod", "--yes"))
		if !strings.Contains(bodyOf(f, "AssumeRole"), "SourceIdentity=ada%40example.org") {
			t.Errorf("the role was taken with %s, want ada as the source identity", bodyOf(f, "AssumeRole"))
		}
		r.write(t, "web/page", "web v2")
		two := r.commit(t, "v2")
		registries.EndLogins()                                                                                      // of which nobody knows yet
		f.Add(awslab.Fault{Service: "ecr", Action: "PutImage", Code: "ThrottlingException", Status: 400, Times: 3}) // which the SDK waits for
		if out := r.run(t, 0, "build", "--push"); !strings.Contains(out, "1 image built, 1 as before") {
			t.Errorf("build --push of a change of web = %s", out)
		}
		r.run(t, 0, "promote", "stg", "--yes")
		r.run(t, 0, "promote", "prod", "--yes")
		st := r.status(t)
		if st["prod"].Release.Commit != two || st["prod"].Release.Images["web"] != st["dev"].Release.Images["web"] || st["prod"].Back != 1 {
			t.Errorf("status = %+v, want %s with the images of dev in prod", st, two)
		}
		t.Log(r.run(t, 0, "rollback", "prod", "--yes"))
		if st = r.status(t); st["prod"].Release.Commit != one {
			t.Errorf("after the rollback status = %+v, want %s in prod", st, one)
		}
		if out := r.run(t, 0, "releases", "prod"); !strings.Contains(out, "rollback") {
			t.Errorf("releases prod = %s", out)
		}
		api := ecr.NewFromConfig(registries.Config())
		for tag, code := range map[string]string{one: "ImageTagAlreadyExistsException", "latest": ""} {
			_, err := api.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String("shop/web"), ImageTag: &tag, ImageManifest: manifestOf(t, api, two)})
			if (err == nil) != (code == "") || err != nil && code != "" && !strings.Contains(err.Error(), code) {
				t.Errorf("PutImage of another image as %s = %v, want %q", tag, err, code)
			}
		}
	})
}

// manifestOf is the manifest of web that is written anew as an index of it, so that it is another image.
func manifestOf(t *testing.T, api *ecr.Client, tag string) *string {
	t.Helper()
	out, err := api.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: aws.String("shop/web"), ImageIds: []types.ImageIdentifier{{ImageTag: &tag}}})
	if err != nil || len(out.Images) == 0 {
		t.Fatalf("read web at %s: %v", tag, err)
	}
	return aws.String(*out.Images[0].ImageManifest + "\n")
}

// bodyOf is what the first call of an action said.
func bodyOf(f *awslab.Faults, action string) string {
	for _, c := range f.Calls() {
		if c.Action == action {
			return c.Body
		}
	}
	return ""
}

func TestRelease_ECRRefusesAnotherAccount(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r, _, f := onECR(t, e)
		r.run(t, 0, "registry", "init")
		r.run(t, 0, "build", "--push")
		r.run(t, 0, "promote", "stg", "--yes")
		f.Add(awslab.Fault{Service: "sts", Action: "AssumeRole", Code: "AccessDenied", Times: -1})
		if out := r.fails(t, "promote", "prod", "--yes"); !strings.Contains(out, "sts:SetSourceIdentity") {
			t.Errorf("promote without the role says %s, want what its trust policy needs", out)
		}
		f.Clear()
		f.Add(awslab.Fault{Service: "ecr", Action: "PutImage", Code: "AccessDeniedException", Status: 400, Times: -1})
		if out := r.fails(t, "promote", "prod", "--yes"); !strings.Contains(out, "role/promote") {
			t.Errorf("promote in a role that may not write says %s, want that it names the role", out)
		}
		if st := r.status(t); st["prod"].Release != nil {
			t.Errorf("status = %+v, want no release in prod", st["prod"])
		}
		f.Clear()
		r.run(t, 0, "promote", "prod", "--yes")
	})
}

// TestRelease_ECRTakesNoImageOfAFork that was published of the very commit which is merged later.
func TestRelease_ECRTakesNoImageOfAFork(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r, registries, _ := onECR(t, e)
		r.run(t, 0, "registry", "init")
		r.run(t, 0, "build", "--push")
		r.pullRequest(t, 42, false)
		commit := r.git(t, "rev-parse", "HEAD")
		if out := r.run(t, 0, "build", "--push", "--pr", "42"); !strings.Contains(out, "web:foreign-"+commit) {
			t.Errorf("build --push of a fork's pull request = %s, want a tag of its own", out)
		}
		foreign := digestInECR(t, registries, "foreign-"+commit)
		r.git(t, "checkout", "-q", "main")
		r.git(t, "merge", "-q", "--ff-only", "feature-42")
		r.git(t, "push", "-q", "origin", "main")
		r.git(t, "fetch", "-q", "origin")
		if out := r.run(t, 0, "build", "--push"); !strings.Contains(out, "1 image built, 1 as before") {
			t.Errorf("build --push of what was merged = %s, want that web is built again", out)
		}
		r.run(t, 0, "promote", "stg", "--yes")
		if got := r.status(t)["stg"].Release; got.Commit != commit || got.Images["web"] != digestInECR(t, registries, commit) {
			t.Errorf("stg runs %+v, want %s as it was built of main (a fork built %s)", got, commit, foreign)
		}
	})
}

// digestInECR is that of web at a tag, in the account in which it was built.
func digestInECR(t *testing.T, e *awslab.ECR, tag string) string {
	t.Helper()
	out, err := ecr.NewFromConfig(e.Config()).BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: aws.String("shop/web"), ImageIds: []types.ImageIdentifier{{ImageTag: &tag}}})
	if err != nil || len(out.Images) == 0 {
		t.Fatalf("web has no tag %s: %v", tag, err)
	}
	return aws.ToString(out.Images[0].ImageId.ImageDigest)
}
