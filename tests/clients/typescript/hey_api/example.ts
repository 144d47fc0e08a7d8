// @hey-api/openapi-ts: a function for each operation.
import { listFiles, patchFile, uploadFiles, type Problem } from "./generated";
import { client } from "./generated/client.gen";

const me = "hey_api";
client.setConfig({ baseUrl: process.env["API"]! });

function reason(problem: Problem | undefined): string {
  switch (problem?.type) {
    case "/problems/precondition-failed":
      return "somebody else was faster";
    // @ts-expect-error there is no such kind of problem
    case "/problems/nonsense":
      return "never";
    default:
      return problem?.detail ?? "no problem";
  }
}

const uploaded = await uploadFiles({
  body: { file: [new File(["hello"], "hello.txt")], session_id: me, metadata: JSON.stringify({ client: me }), tags: ["a", "b"] },
});
const file = uploaded.data?.[0];
if (!file) throw new Error(reason(uploaded.error));

const listed = await listFiles({ query: { metadata: { client: me }, tag: ["a", "b"], limit: 10 } });
const path = { file_id: file.id };
const late = await patchFile({ path, headers: { "If-Match": '"an earlier one"' }, body: { tags: ["z"] } });
const patched = await patchFile({ path, body: { tags: ["z"] } });
const found = listed.data?.items.map(({ name }) => name);
console.log(JSON.stringify({ found, late: reason(late.error), tags: patched.data?.tags, session: patched.data?.session_id }));
