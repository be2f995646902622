// The only file to change. Your administrator finds both values on the tenant's page "Approval page".

export const config = {
  // Where Customer Lockbox runs, without a slash at the end.
  api: "https://lockbox.example.com",
  // The id of your tenant.
  tenant: "00000000-0000-0000-0000-000000000000",
  // The site of your keys (RP ID); if empty, the host of this page. Never change it: the keys work only for this site.
  rpId: "",
};
