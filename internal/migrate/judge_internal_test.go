package migrate

import "testing"

func TestIsSeveral_TellsWhatExecuteWouldRun(t *testing.T) {
	for _, one := range []string{"select 1", "select ';'", `select ";" from t`, "select 1 -- ; nothing", "select /* ; */ 1", "select $1", "select 'it''s; so'"} {
		if isSeveral(one) {
			t.Errorf("isSeveral(%s) = true", one)
		}
	}
	for _, more := range []string{"select 1; drop table t", `select name'\'; drop table t --'`, "select 1 a$$; drop table t; select 1 b$$", "select $$ ' $$; drop table t; select '1'",
		`select E'\''; drop table t; --'`, "select /* /* */ ; drop table t */ 1"} {
		if !isSeveral(more) {
			t.Errorf("isSeveral(%s) = false", more)
		}
	}
}
