/** Generate. */
export const GenerateView = () => <h1>Generate</h1>;
