// orval, for fetch: a function for each operation; its answer is told apart by the status.
import { listFiles, patchFile, uploadFiles, type Problem } from "./generated/landfall";

const me = "orval";

function reason(problem: Problem): string {
  switch (problem.type) {
    case "/problems/precondition-failed":
      return "somebody else was faster";
    // @ts-expect-error there is no such kind of problem
    case "/problems/nonsense":
      return "never";
    default:
      return problem.detail;
  }
}

const uploaded = await uploadFiles({
  file: [new File(["hello"], "hello.txt")],
  session_id: me,
  metadata: JSON.stringify({ client: me }),
  tags: ["a", "b"],
});
if (uploaded.status !== 201) throw new Error(reason(uploaded.data));
const file = uploaded.data[0];
if (!file) throw new Error("nothing was uploaded");

const listed = await listFiles({ metadata: { client: me }, tag: ["a", "b"], limit: 10 });
const late = await patchFile(file.id, { tags: ["z"] }, { "If-Match": '"an earlier one"' });
const patched = await patchFile(file.id, { tags: ["z"] });
if (listed.status !== 200 || late.status === 200 || patched.status !== 200) throw new Error("unexpected");
const found = listed.data.items.map(({ name }) => name);
console.log(JSON.stringify({ found, late: reason(late.data), tags: patched.data.tags, session: patched.data.session_id }));
