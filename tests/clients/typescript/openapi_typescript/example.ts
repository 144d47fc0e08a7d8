// openapi-typescript and openapi-fetch: types alone, and a fetch that knows them.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/schema";

const me = "openapi_typescript";
const api = createClient<paths>({ baseUrl: process.env["API"]! });

function reason(problem: components["schemas"]["Problem"] | undefined): string {
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

const uploaded = await api.POST("/api/files/upload", {
  body: { file: [new File(["hello"], "hello.txt")], session_id: me, metadata: JSON.stringify({ client: me }), tags: ["a", "b"] },
  bodySerializer({ file, tags, ...fields }) {
    const form = new FormData();
    file.forEach((part) => form.append("file", part));
    tags?.forEach((tag) => form.append("tags", tag));
    Object.entries(fields).forEach(([name, value]) => form.append(name, value));
    return form;
  },
});
const file = uploaded.data?.[0];
if (!file) throw new Error(reason(uploaded.error));

const listed = await api.GET("/api/files", { params: { query: { metadata: { client: me }, tag: ["a", "b"], limit: 10 } } });
const path = { file_id: file.id };
const late = await api.PATCH("/api/files/{file_id}", {
  params: { path, header: { "If-Match": '"an earlier one"' } },
  body: { tags: ["z"] },
});
const patched = await api.PATCH("/api/files/{file_id}", { params: { path }, body: { tags: ["z"] } });
const found = listed.data?.items.map(({ name }) => name);
console.log(JSON.stringify({ found, late: reason(late.error), tags: patched.data?.tags, session: patched.data?.session_id }));
